"""Expressions of the canvas, written once and evaluated by both sides: their JSON form, and how they are shown.

Run as a program in Celery's environment it prints what Celery makes of them. Knows neither side.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final


def _nothing(*args: Any) -> None:
    """It is never run."""


class Words:
    """One side's words: its package, and an app with a few tasks."""

    def __init__(self, package: Any, app: Any) -> None:
        self.chain, self.group, self.chord = package.chain, package.group, package.chord
        self.signature, self.maybe_signature = package.signature, package.maybe_signature
        self.chunks, self.xmap, self.xstarmap = package.chunks, package.xmap, package.xstarmap
        self.app = app
        self.add, self.tsum, self.log = (app.task(name=n)(_nothing) for n in ("forms.add", "forms.tsum", "other.log"))

    def a(self, *args: Any) -> Any:
        """A signature of `forms.add`."""
        return self.add.s(*args)

    def two(self) -> Any:
        """A group of two."""
        return self.group(self.a(1), self.a(2))

    def pair(self) -> Any:
        """A chain of two."""
        return self.chain(self.a(1), self.a(2))

    def sum2(self) -> Any:
        """A chord of two."""
        return self.chord([self.a(1), self.a(2)], self.tsum.s())


Expression = Callable[[Words], Any]

#: What is joined with what, in every order.
PARTS: Final[Mapping[str, Expression]] = {
    "task": lambda w: w.a(9),
    "immutable": lambda w: w.add.si(9),
    "chain": lambda w: w.pair(),
    "chain to group": lambda w: w.chain(w.a(3), w.two()),
    "chain to chord": lambda w: w.chain(w.a(3), w.sum2()),
    "group": lambda w: w.two(),
    "group of one": lambda w: w.group(w.a(4)),
    "group of a chain": lambda w: w.group(w.pair()),
    "empty group": lambda w: w.group([]),
    "chord": lambda w: w.sum2(),
    "chord to group": lambda w: w.chord([w.a(1)], w.two()),
    "map": lambda w: w.add.map([1, 2]),
}


def _linked(sig: Any, w: Words) -> Any:
    sig.link(w.log.s("done"))
    sig.link(w.log.s("done"))
    sig.link_error(w.log.s("failed"))
    return sig


def _frozen(sig: Any, **place: Any) -> Any:
    return [sig.freeze(**place).as_tuple(), sig]


def _after(sig: Any, change: Callable[[Any], object]) -> Any:
    change(sig)
    return sig


OTHERS: Final[Mapping[str, Expression]] = {
    "chain of one": lambda w: w.chain(w.a(1)),
    "chain of a list of one": lambda w: w.chain([w.a(1)]),
    "chain of a generator": lambda w: w.chain(w.a(n) for n in range(4)),
    "chain of nothing": lambda w: w.chain(),
    "chain with options": lambda w: w.chain(w.two(), w.tsum.s(), link=w.log.s()),
    "chain of chains": lambda w: w.chain(w.pair(), w.chain(w.a(3), w.pair()), w.a(4)),
    "chain of groups": lambda w: w.chain(w.a(1), w.two(), w.two(), w.tsum.s()),
    "chain of a group, task, group, task": lambda w: w.chain(w.two(), w.tsum.s(), w.two(), w.tsum.s()),
    "chain of a task, group, task, group": lambda w: w.chain(w.a(1), w.two(), w.tsum.s(), w.two()),
    "chain of a chord, task, chord": lambda w: w.chain(w.sum2(), w.a(1), w.sum2()),
    "chain of a group and chains": lambda w: w.chain(w.two(), w.pair(), w.pair()),
    "chain of empty groups": lambda w: w.chain(w.group([]), w.a(1), w.group([]), w.a(2), w.group([])),
    "chain of linked chains": lambda w: w.chain(_linked(w.pair(), w), w.a(3)),
    "chain added to a linked chain": lambda w: _linked(w.pair(), w) | w.a(3),
    "long": lambda w: w.a(1) | w.a(2) | w.two() | w.tsum.s() | w.a(3) | w.two() | w.two() | w.tsum.s(),
    "group of a list": lambda w: w.group([w.a(1), w.pair(), w.two(), w.sum2()]),
    "group of a generator": lambda w: w.group(w.a(n) for n in range(3)),
    "group of a group": lambda w: w.group(w.two()),
    "group of a signature": lambda w: w.group(w.a(1)),
    "group with options": lambda w: w.group(w.a(1), countdown=3, queue="q"),
    "chord of a list": lambda w: w.chord([w.a(1), w.a(2)], w.tsum.s()),
    "chord of a generator": lambda w: w.chord((w.a(n) for n in range(3)), w.tsum.s()),
    "chord of a group": lambda w: w.chord(w.two(), w.tsum.s()),
    "chord of a chain": lambda w: w.chord(w.pair(), w.tsum.s()),
    "chord of a task": lambda w: w.chord(w.a(1), w.tsum.s()),
    "chord of a chord": lambda w: w.chord([w.sum2(), w.sum2()], w.tsum.s()),
    "chord without a body": lambda w: w.chord([w.a(1), w.a(2)]),
    "chord with options": lambda w: w.chord([w.a(1)], w.tsum.s(), countdown=3, queue="q"),
    "chord with a chain for a body": lambda w: w.chord([w.a(1)], w.pair()),
    "starmap": lambda w: w.add.starmap([(1, 2), (3, 4)]),
    "chunks": lambda w: w.add.chunks([(1, 2), (3, 4), (5, 6)], 2),
    "group of chunks": lambda w: w.add.chunks([(1, 2), (3, 4), (5, 6)], 2).group(),
    "chunks of a generator": lambda w: w.add.chunks(((n, n) for n in range(3)), 2),
    "from a dictionary": lambda w: w.signature(plain(w.chain(w.a(1), w.two(), w.tsum.s()))),
    "group from a dictionary": lambda w: w.maybe_signature(plain(w.two())),
    "chord from a dictionary": lambda w: w.signature(plain(w.sum2())) | w.a(3),
    "clone": lambda w: w.add.s(2).set(countdown=3).clone((1,), {"x": 1}, queue="q"),
    "clone of an immutable": lambda w: w.add.si(2).clone((1,), {"x": 1}, queue="q"),
    "clone of a member of a group": lambda w: w.add.s(2).set(group_id="g").clone(group_id="h", group_index=2),
    "clone of a chain": lambda w: w.chain(w.a(1), w.two()).clone(queue="q"),
    "replace": lambda w: w.add.s(2).replace(args=(1,), options={"queue": "q"}),
    "set": lambda w: w.add.s(2).set(immutable=True, priority=3),
    "immutable group": lambda w: _after(w.two(), lambda sig: sig.set_immutable(True)),
    "immutable chord": lambda w: _after(w.sum2(), lambda sig: sig.set_immutable(True)),
    "immutable chain": lambda w: _after(w.pair(), lambda sig: sig.set_immutable(True)),
    "skew": lambda w: w.group(w.a(n) for n in range(5)).skew(1, 3),
    "link": lambda w: _linked(w.a(1), w),
    "on_error": lambda w: w.a(1).on_error(w.log.s()),
    "link of a chain": lambda w: _linked(w.pair(), w),
    "link of a group": lambda w: _linked(w.two(), w),
    "link of a chord": lambda w: _linked(w.sum2(), w),
    "link of a chord in a header": lambda w: _linked(w.chord([w.sum2(), w.a(1)], w.tsum.s()), w),
    "unchained": lambda w: _linked(w.pair(), w).unchain_tasks(),
    "flat links": lambda w: _linked(_after(w.a(1), lambda sig: sig.link(_linked(w.a(2), w))), w).flatten_links(),
    "stamped": lambda w: _after(_linked(w.a(1), w), lambda sig: sig.stamp(tenant="acme", trace=["a"])),
    "stamped twice": lambda w: _after(w.a(1).stamp(tenant="acme"), lambda sig: sig.stamp(tenant="b", more=[1])),
    "stamped with more": lambda w: _after(
        w.a(1).stamp(tenant="acme", trace=["a"]), lambda sig: sig.stamp(append_stamps=True, tenant="b", trace=["c"])
    ),
    "stamped chain": lambda w: _after(_linked(w.chain(w.a(1), w.two()), w), lambda sig: sig.stamp(tenant="acme")),
    "frozen": lambda w: _frozen(w.a(1), _id="i", group_id="g", root_id="r", parent_id="p", group_index=2),
    "frozen for a chord": lambda w: _frozen(w.a(1), chord=w.tsum.s()),
    "frozen again": lambda w: _after(w.a(1), lambda sig: (sig.freeze("first"), sig.freeze("second"))),
    "frozen chain": lambda w: _frozen(w.chain(w.a(1), w.a(2), w.a(3)), _id="last", root_id="r"),
    "frozen member that is a chain": lambda w: _frozen(w.pair(), group_id="g", group_index=1, chord=w.tsum.s()),
    "frozen chain of a chain": lambda w: _frozen(w.chain(w.a(0), link=None, app=w.app) | w.pair()),
    "frozen chain to a group": lambda w: _frozen(w.chain(w.a(1), w.two())),
    "frozen group": lambda w: _frozen(w.group(w.a(1), w.pair()), group_id="g", root_id="r"),
    "frozen group of a group": lambda w: _frozen(w.group(w.a(1), w.group(w.a(2)))),
    "frozen chord": lambda w: _frozen(w.sum2(), _id="body", root_id="r", group_id="g", group_index=3),
    "frozen chain to a chord": lambda w: _frozen(w.chain(w.a(1), w.sum2())),
    "frozen chord with a chain for a body": lambda w: _frozen(w.chord([w.a(1), w.a(2)], w.pair())),
}


#: Celery keeps what it is given as a tuple, Celeriac as a list: they are the same as JSON.
_BRACKETS: Final = str.maketrans("()", "[]")


def expressions() -> Iterable[tuple[str, Expression]]:
    """All of them by name."""
    for left, make_left in PARTS.items():
        yield left, make_left
        for right, make_right in PARTS.items():
            yield f"{left} | {right}", _joined(make_left, make_right)
    yield from OTHERS.items()


def _joined(left: Expression, right: Expression) -> Expression:
    return lambda w: left(w) | right(w)


def plain(value: Any) -> Any:
    """What comes through JSON, without what is None among options."""
    if isinstance(value, dict):
        made = {name: plain(part) for name, part in value.items()}
        if "options" in made:
            made["options"] = {
                name: sorted(part) if name == "stamped_headers" else part
                for name, part in made["options"].items()
                if part is not None and name != "reply_to"
            }
        return made
    return [plain(part) for part in value] if isinstance(value, Iterable) and not isinstance(value, str) else value


def evaluated(words: Words) -> dict[str, dict[str, Any]]:
    """For each expression its form, with numbers for random ids, and how it is shown; or the name of its error."""
    seen: dict[str, dict[str, Any]] = {}
    for name, make in expressions():
        try:
            made = make(words)
            shown = re.sub("0x[0-9a-f]+", "0x", repr(made)).translate(_BRACKETS) if isinstance(made, dict) else ""
            seen[name] = {"form": _without_random_ids(plain(made), {}), "shown": shown}
        except Exception as error:  # noqa: BLE001 - which one is what is compared
            seen[name] = {"error": type(error).__name__}
    return seen


def _without_random_ids(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _without_random_ids(value[name], known) for name in sorted(value)}
    if isinstance(value, list):
        return [_without_random_ids(part, known) for part in value]
    if isinstance(value, str) and _is_uuid(value):
        return known.setdefault(value, f"id {len(known)}")
    return value


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


if __name__ == "__main__":
    celery: Any = importlib.import_module("celery")
    app = celery.Celery("forms", broker="memory://", backend="cache+memory://")
    json.dump(evaluated(Words(celery, app)), sys.stdout)
