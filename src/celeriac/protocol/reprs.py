"""Bounded reprs of arguments for `argsrepr` and `kwargsrepr`, which Flower and logs show as they are.

The form is Celery's: cut near a number of characters, at a number of levels, binary bytes in hex, brackets closed after
the cut. Strings are quoted plainly, so a repr is for people and not for `eval`.
"""

from __future__ import annotations

from typing import Final

DEFAULT_MAX_LENGTH: Final = 1024
DEFAULT_MAX_LEVELS: Final = 3

_PLAIN: Final = frozenset({int, float, bool, type(None)})
#: Fewer digits than the interpreter's limit on converting integers (4300, or 640 where it was lowered).
_LARGE_INT: Final = 10**600


def safe_repr(value: object, maxlen: int = DEFAULT_MAX_LENGTH, maxlevels: int = DEFAULT_MAX_LEVELS) -> str:
    """Return a repr of `value` of about `maxlen` characters at most.

    Args:
        value: anything; an object whose own repr raises is shown by its type.
        maxlen: characters after which it is cut; closing brackets and the mark of the cut come on top.
        maxlevels: containers inside containers that are shown; 0 for all.

    Example:
        >>> safe_repr(("it's", [1, [2, [3]]], b"\\xff"))
        "('it\\\\'s', [1, [2, [...]]], b'ff')"
    """
    kind = type(value)
    if kind is tuple or kind is dict or kind is list:
        short = _short_repr(value)  # type: ignore[arg-type]
        if short is not None and len(short) < maxlen:
            return short
    writer = _Writer(maxlen, maxlevels)
    writer.write(value, 0)
    return "".join(writer.out)


def _short_repr(value: tuple[object, ...] | list[object] | dict[object, object]) -> str | None:
    """Return the repr of a flat container of a few plain values, the usual arguments; None for all others."""
    if len(value) > 20:
        return None
    if isinstance(value, dict):
        pairs: list[str] = []
        for key, item in value.items():
            text = _plain_repr(item)
            if text is None or type(key) is not str:
                return None
            pairs.append(f"{_quote(key)}: {text}")
        return "{" + ", ".join(pairs) + "}"
    items: list[str] = []
    for item in value:
        text = _plain_repr(item)
        if text is None:
            return None
        items.append(text)
    if isinstance(value, list):
        return f"[{', '.join(items)}]"
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _plain_repr(item: object) -> str | None:
    kind = type(item)
    if kind is str:
        return _quote(item)  # type: ignore[arg-type]
    if kind not in _PLAIN or (kind is int and not -_LARGE_INT < item < _LARGE_INT):  # type: ignore[operator]
        return None
    return repr(item)


def _quote(text: str) -> str:
    if "'" in text:
        text = text.replace("'", "\\'")
    return f"'{text}'"


class _Writer:
    """Collects the pieces of one repr and stops when they are long enough."""

    def __init__(self, maxlen: int, maxlevels: int) -> None:
        self.out: list[str] = []
        self._left = maxlen
        self._maxlevels = maxlevels
        self._outer: set[int] = set()
        self._cut = False

    def write(self, value: object, level: int) -> None:
        if isinstance(value, str | bytes | bytearray | memoryview):
            if self._has_room():
                self._put(_quote_cut(value, self._left))
        elif isinstance(value, set | frozenset) and not value:
            self._put_cut(f"{type(value).__name__}()")
        elif isinstance(value, tuple | list | dict | set | frozenset):
            self._write_container(value, level)
        else:
            self._put_cut(_text_of(value))

    def _write_container(
        self,
        value: tuple[object, ...] | list[object] | dict[object, object] | set[object] | frozenset[object],
        level: int,
    ) -> None:
        start, end = _brackets(value)
        if self._maxlevels and level >= self._maxlevels:
            self._put_whole(f"{start}...{end}")
            return
        if id(value) in self._outer:
            self._put_cut(f"<Recursion on {type(value).__name__} with id={id(value):#x}>")
            return
        if not self._has_room():
            return
        self._put(start)
        self._outer.add(id(value))
        if isinstance(value, dict):
            self._write_pairs(value, level + 1)
        else:
            self._write_items(value, level + 1)
        self._outer.discard(id(value))
        self.out.append(end)
        self._left -= len(end)

    def _write_items(
        self, items: tuple[object, ...] | list[object] | set[object] | frozenset[object], level: int
    ) -> None:
        for index, item in enumerate(items):
            if index:
                self._put_whole(", ")
            if self._cut:
                return
            self.write(item, level)

    def _write_pairs(self, pairs: dict[object, object], level: int) -> None:
        for index, (key, item) in enumerate(pairs.items()):
            if index:
                self._put_whole(", ")
            if self._has_room():
                self._put(safe_repr(key, self._left, self._maxlevels))
            self._put_whole(": ")
            if self._cut:
                return
            self.write(item, level)

    def _has_room(self) -> bool:
        """Return whether more may follow; the first time it may not, mark the cut."""
        if self._left > 0:
            return True
        if not self._cut:
            self.out.append(", ...")
            self._cut = True
        return False

    def _put(self, text: str) -> None:
        self.out.append(text)
        self._left -= len(text)

    def _put_whole(self, text: str) -> None:
        if self._has_room():
            self._put(text)

    def _put_cut(self, text: str) -> None:
        if self._has_room():
            self._put(_cut_text(text, self._left))


def _brackets(value: object) -> tuple[str, str]:
    if isinstance(value, tuple):
        return "(", ",)" if len(value) == 1 else ")"
    if isinstance(value, dict):
        return "{", "}"
    if isinstance(value, list):
        return "[", "]"
    name = type(value).__name__
    return ("{", "}") if name == "set" else (f"{name}({{", "})")


def _cut_text(text: str, length: int) -> str:
    if len(text) < length:
        return text
    return text[:length].rsplit(" ", 1)[0] + "..."


def _quote_cut(value: str | bytes | bytearray | memoryview, length: int) -> str:
    if isinstance(value, str):
        return _quote(_cut_text(value, length))
    chunk = bytes(value[:length])
    try:
        text = chunk.decode("utf-8")
    except UnicodeDecodeError:
        text = chunk.hex()
    return f"b'{text}{'...' if len(value) > length else ''}'"


def _text_of(value: object) -> str:
    from decimal import Decimal  # noqa: PLC0415 - start-up time
    from numbers import Number  # noqa: PLC0415 - start-up time

    try:
        if isinstance(value, Number) and not isinstance(value, Decimal):
            return str(value)
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a repr is user code and may raise anything
        return f"<Unrepresentable {type(value).__qualname__}: {type(error).__name__}>"
