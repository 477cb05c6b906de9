"""Stamps: headers that mark each message of a workflow, for example with the tenant that it is for.

Owns how stamps of several origins are merged, and the visitor that is asked for them. A stamp is kept in the options of
a signature under its own name, and its name in the option `stamped_headers`. Knows nothing of messages.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from celeriac.canvas.chain import chain
    from celeriac.canvas.chord import chord
    from celeriac.canvas.group import group
    from celeriac.canvas.signature import Signature

#: The option that names the stamps among the options.
STAMPED: Final = "stamped_headers"


class StampingVisitor(metaclass=ABCMeta):
    """Goes through a workflow and says which stamps each part gets.

    What a method returns is given to the part and to everything inside it. Among it may be `stamped_headers`, the names
    of those that are stamps; without it all are.

    Example:
        >>> from celeriac import signature
        >>> class Tenant(StampingVisitor):
        ...     def on_signature(self, sig, **headers):
        ...         return {"tenant": sig.name.partition(".")[0]}
        >>> signature("acme.send").stamp(Tenant()).options["tenant"]
        'acme'
    """

    @abstractmethod
    def on_signature(self, sig: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of a task."""

    def on_chain_start(self, chain: chain[Any], **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of a chain and its tasks."""
        del chain, headers
        return {}

    def on_chain_end(self, chain: chain[Any], **headers: Any) -> None:  # noqa: B027 - most have nothing to do
        """The tasks of a chain have been stamped."""

    def on_group_start(self, group: group, **headers: Any) -> Mapping[str, Any] | None:
        """Stamps of a group and its members."""
        del group, headers
        return {}

    def on_group_end(self, group: group, **headers: Any) -> None:  # noqa: B027 - as above
        """The members of a group have been stamped."""

    def on_chord_header_start(self, sig: chord[Any], **header: Any) -> Mapping[str, Any] | None:
        """Stamps of a chord's header and its members; by default those of a group."""
        return self.on_group_start(sig.header, **header)

    def on_chord_header_end(self, sig: chord[Any], **header: Any) -> None:
        """The members of a chord's header have been stamped."""
        self.on_group_end(sig.header, **header)

    def on_chord_body(self, sig: chord[Any], **header: Any) -> Mapping[str, Any] | None:
        """Stamps of a chord's body."""
        del sig, header
        return {}

    def on_callback(self, callback: Signature[Any], **header: Any) -> Mapping[str, Any] | None:
        """Stamps of what is linked by `link`."""
        del callback, header
        return {}

    def on_errback(self, errback: Signature[Any], **header: Any) -> Mapping[str, Any] | None:
        """Stamps of what is linked by `link_error`."""
        del errback, header
        return {}


def merged_stamps(
    headers: Mapping[str, Any],
    found: Mapping[str, Any] | None,
    append: bool,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a part of a workflow gets: all stamps, with their names.

    Args:
        headers: stamps that were given; they come before the others.
        found: what the visitor says, if there is one.
        append: collect values of the same stamp in a list.
        options: the part's own options, for the stamps that it has.
    """
    merged = {**headers, STAMPED: list(headers.get(STAMPED, headers))}
    if found is not None:
        _merge(merged, {**found, STAMPED: list(found.get(STAMPED, found))}, append)
    if options is not None:
        merged[STAMPED] = [*merged[STAMPED], *options.get(STAMPED, ())]
        names = set(merged[STAMPED])
        _merge(merged, {name: value for name, value in options.items() if name in names}, append)
    merged[STAMPED] = list(dict.fromkeys(merged.pop(STAMPED)))
    return merged


def _merge(first: dict[str, Any], second: Mapping[str, Any], append: bool) -> None:
    """Put into `first` what it has not. Lists are joined; other values that both have only with `append`."""
    for name, value in second.items():
        known = first.get(name)
        if name not in first:
            first[name] = value
        elif isinstance(known, dict) and isinstance(value, Mapping):
            _merge(first[name], value, append)
        elif isinstance(known, list) and isinstance(value, list):
            first[name] = [*known, *value]
        elif append:
            first[name] = [*_as_list(known), *(value if isinstance(value, list) else [value])]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def stamped_link(
    link: Signature[Any],
    kind: str,
    visitor: StampingVisitor | None,
    append: bool,
    headers: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Stamp a callback (`kind` is `link`) or an errback. Returns its stamps, which the next one is given, too."""
    found: Mapping[str, Any] | None = None
    if visitor is not None:
        ask = visitor.on_callback if kind == "link" else visitor.on_errback
        found = ask(link, **headers) or {}
    stamps = merged_stamps(headers, found, append)
    link.stamp(visitor, append, **stamps)
    return stamps
