"""Which messages a binding of a topic or headers exchange lets through, by the rules of AMQP as RabbitMQ has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_MISSING: Final = object()


def topic_matches(pattern: str, key: str) -> bool:
    """Whether a routing key fits a binding key, in which `*` is one word and `#` any number of them.

    Example:
        >>> topic_matches("feed.*.eu", "feed.sport.eu"), topic_matches("feed.#", "feed"), topic_matches("*", "a.b")
        (True, True, False)
    """
    wanted, words = _words(pattern), _words(key)
    at = word = 0
    hash_at, hash_word = -1, 0
    while word < len(words):
        if at < len(wanted) and wanted[at] == "#":
            hash_at, hash_word = at, word
            at += 1
        elif at < len(wanted) and wanted[at] in {"*", words[word]}:
            at += 1
            word += 1
        elif hash_at >= 0:  # let the last # take one word more
            hash_word += 1
            at, word = hash_at + 1, hash_word
        else:
            return False
    return all(rest == "#" for rest in wanted[at:])


def _words(key: str) -> list[str]:
    return key.split(".") if key else []


def headers_match(arguments: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Whether a message's headers fit a binding's arguments.

    `x-match` says how many of the others must: `all` (the default) or `any`; headers whose names begin with `x-` count
    with `all-with-x` and `any-with-x` only. A value of None fits any value.

    Example:
        >>> headers_match({"x-match": "any", "colour": "red", "size": 1}, {"colour": "red"})
        True
    """
    how = str(arguments.get("x-match", "all"))
    compared = {
        name: value
        for name, value in arguments.items()
        if name != "x-match" and (how.endswith("-with-x") or not name.startswith("x-"))
    }
    fits = (_fits(value, headers.get(name, _MISSING)) for name, value in compared.items())
    return any(fits) if how.startswith("any") else all(fits)


def _fits(wanted: Any, found: Any) -> bool:
    if found is _MISSING:
        return False
    return wanted is None or (type(wanted) is type(found) and bool(wanted == found))
