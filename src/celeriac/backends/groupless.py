"""What backends that store nothing say of groups: their members are not kept, and why."""

from __future__ import annotations

from typing import NoReturn

from celeriac.backends.base import ChordStore
from celeriac.exceptions import NotSupported


class GrouplessBackend:
    """The part of `Backend` that is about groups, where nothing is stored.

    Attributes:
        why_no_groups: why they are not kept, and what to do about it.
        chords: None: nobody counts what members come to where nothing is stored.
    """

    why_no_groups: str
    chords: ChordStore | None = None

    def save_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:  # noqa: ARG002 - the contract's
        """Always raises NotSupported."""
        self._refuse(group_id)

    async def asave_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:  # noqa: ARG002
        """Always raises NotSupported."""
        self._refuse(group_id)

    def load_group(self, group_id: str) -> bytes | None:
        """Always raises NotSupported."""
        self._refuse(group_id)

    async def aload_group(self, group_id: str) -> bytes | None:
        """Always raises NotSupported."""
        self._refuse(group_id)

    def forget_group(self, group_id: str) -> None:
        """Nothing is kept."""

    async def aforget_group(self, group_id: str) -> None:
        """Nothing is kept."""

    def _refuse(self, group_id: str) -> NoReturn:
        raise NotSupported(f"the members of group {group_id} can not be saved or restored {self.why_no_groups}")
