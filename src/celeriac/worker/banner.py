"""What a worker shows when it starts: a pure function from facts to text.

Knows neither the app nor the worker; the worker command gathers the facts.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

#: Task names shown below the level DEBUG.
TASKS_SHOWN: Final = 20

_BUILTIN_PREFIX: Final = "celery."
_LABEL_WIDTH: Final = 11


class BannerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the banner tells.

    Attributes:
        hostname: the node name.
        pid: process id of the supervisor.
        version: of this package.
        platform: for example `Linux 6.1 x86_64, Python 3.11.7`.
        app: the app's name and where it was found.
        broker: address without passwords; the full path for files.
        results: the same of the result backend.
        executors: one line for each kind of executor, for example `prefork: 2 processes`.
        queues: names of the queues.
        tasks: names of all registered tasks.
        loglevel: tasks are listed from INFO down, all of them at DEBUG.
        logfile: where log lines go, or None for standard error.
        inactive: settings that are set and have no effect in this version, one line each.
        risky_pickle: the worker runs as root and accepts pickle.
    """

    hostname: str
    pid: int
    version: str
    platform: str
    app: str
    broker: str
    results: str
    executors: tuple[str, ...]
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    loglevel: int = logging.WARNING
    logfile: str | None = None
    inactive: tuple[str, ...] = ()
    risky_pickle: bool = False


def _plain(text: str, _colour: str) -> str:
    return text


def banner_text(facts: BannerFacts, *, style: Callable[[str, str], str] = _plain) -> str:
    """Return the banner, without a newline at its end.

    Args:
        facts: what to tell.
        style: puts a colour (`green`, `cyan`, `yellow`, `red`, `bright_black`) on a piece of text; none by default.
    """
    process = style(f"process {facts.pid}", "bright_black")
    lines = [
        f" {style(facts.hostname, 'green')}  celeriac {facts.version}  {process}",
        f" {style(facts.platform, 'bright_black')}",
        "",
    ]
    rows: list[tuple[str, tuple[str, ...]]] = [
        ("app", (facts.app,)),
        ("broker", (facts.broker,)),
        ("results", (facts.results,)),
        ("executors", facts.executors),
        ("queues", facts.queues),
    ]
    if facts.logfile:
        rows.append(("log", (facts.logfile,)))
    if facts.loglevel <= logging.INFO:
        rows.append(("tasks", _task_lines(facts)))
    for label, values in rows:
        lines.extend(_row(label, values, style))
    if facts.inactive:
        lines += ["", f" {style('Set, without effect in this version:', 'yellow')}"]
        lines += [f"   {line}" for line in facts.inactive]
    if facts.risky_pickle:
        lines += [
            "",
            f" {style('WARNING', 'red')} This worker runs as root and accepts pickle: whoever can write",
            "         to the broker can run anything on this machine. Start it as another user (--uid), or",
            "         take pickle out of accept_content.",
        ]
    return "\n".join(lines)


def _row(label: str, values: tuple[str, ...], style: Callable[[str, str], str]) -> list[str]:
    head = style(label.ljust(_LABEL_WIDTH), "cyan")
    first, *rest = values or ("none",)
    return [f" {head}{first}", *(f" {'':{_LABEL_WIDTH}}{value}" for value in rest)]


def _task_lines(facts: BannerFacts) -> tuple[str, ...]:
    names = tuple(sorted(facts.tasks))
    if facts.loglevel <= logging.DEBUG:
        return names
    own = tuple(name for name in names if not name.startswith(_BUILTIN_PREFIX))
    if len(own) <= TASKS_SHOWN + 1:  # "and 1 more" would take the line of that one
        return own
    return (*own[:TASKS_SHOWN], f"... and {len(own) - TASKS_SHOWN} more (-l debug shows all)")
