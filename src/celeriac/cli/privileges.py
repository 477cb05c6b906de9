"""Becoming another user before work begins: `--uid`, `--gid`, `--umask`."""

from __future__ import annotations

import os

import click


def change_identity(uid: str | None, gid: str | None, umask: str | None) -> None:
    """Set the mask of new files, the group and the user of this process.

    Args:
        uid: name or number of the user; without `gid`, the user's own groups come with it.
        gid: name or number of the group.
        umask: octal, for example `022`.

    Raises:
        click.UsageError: no such user or group, a wrong mask, or this process may not.
    """
    if umask is not None:
        try:
            os.umask(int(umask, 8))
        except ValueError as error:
            raise click.UsageError(f"--umask {umask}: write it in octal, for example 022") from error
    if uid is None and gid is None:
        return
    if os.name == "nt":
        raise click.UsageError("--uid and --gid do not work on Windows")
    try:
        _change(uid, gid)
    except PermissionError as error:
        raise click.UsageError("only root may use --uid and --gid; start the worker as that user instead") from error


def _change(uid: str | None, gid: str | None) -> None:
    import grp  # noqa: PLC0415 - not there on Windows
    import pwd  # noqa: PLC0415

    try:
        user = None if uid is None else pwd.getpwuid(int(uid)) if uid.isdecimal() else pwd.getpwnam(uid)
    except KeyError as error:
        raise click.UsageError(f"--uid {uid}: there is no such user") from error
    try:
        group = None if gid is None else int(gid) if gid.isdecimal() else grp.getgrnam(gid).gr_gid
    except KeyError as error:
        raise click.UsageError(f"--gid {gid}: there is no such group") from error
    if group is None and user is not None:
        group = user.pw_gid
    if group is not None:  # the groups first: without being root any more they can not be changed
        if user is not None:
            os.initgroups(user.pw_name, group)
        os.setgid(group)
    if user is not None:
        os.setuid(user.pw_uid)
