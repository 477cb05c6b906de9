"""Exceptions as data, both ways."""

from __future__ import annotations

import asyncio
import builtins
import gc
import importlib.util
import sys
import weakref
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import exceptions, remote_errors
from celeriac.exceptions import CeleriacError, RemoteError
from celeriac.remote_errors import exception_from_meta, exception_to_meta, wire_name

PLAIN = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=5)
OWN = sorted(
    name
    for name, value in vars(exceptions).items()
    if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == "celeriac.exceptions"
)
ORDINARY = sorted(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, UnicodeError | ExceptionGroup)
)


class Coded(Exception):
    """Its constructor does not take what it hands on."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


class Prefixed(Exception):
    """Its constructor makes a text of its argument."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no such name: {name}")


class Talkative(Exception):
    """Its text needs what its constructor sets."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code

    def __str__(self) -> str:
        return f"{self.code}"


class Outer:
    class Inner(Exception):
        pass

    class Heir:
        pass


class Child(Outer):
    pass


def meta(name: object, module: object = __name__, message: object = ("boom",)) -> dict[str, object]:
    return {"exc_type": name, "exc_message": message, "exc_module": module}


def back(exc: BaseException) -> Exception:
    return exception_from_meta(exception_to_meta(exc))


@given(st.sampled_from(ORDINARY), st.lists(JSON, max_size=3))
def test_exceptions_of_python_come_back(name: str, args: list[Any]) -> None:
    cls = getattr(builtins, name)
    try:
        exc = cls(*args)
    except (TypeError, ValueError):
        return
    again = back(exc)
    assert type(again) is type(exc)
    assert again.args == exc.args


@pytest.mark.parametrize("name", OWN)
def test_our_exceptions_come_back(name: str) -> None:
    exc = getattr(exceptions, name)("boom")
    again = back(exc)
    assert type(again) is type(exc)
    assert again.args == exc.args
    assert str(again) == str(exc)


@pytest.mark.parametrize("name", OWN)
def test_the_names_that_celery_knows_are_read_from_all_its_modules(name: str) -> None:
    for module in ("celery.exceptions", "billiard.exceptions", "kombu.exceptions", "celeriac.exceptions"):
        assert type(exception_from_meta(meta(name, module))) is getattr(exceptions, name)


@pytest.mark.parametrize(
    ("cls", "module"),
    [
        (exceptions.WorkerLostError, "billiard.exceptions"),
        (exceptions.SoftTimeLimitExceeded, "billiard.exceptions"),
        (exceptions.EncodeError, "kombu.exceptions"),
        (exceptions.ContentDisallowed, "kombu.exceptions"),
        (exceptions.NotRegistered, "celery.exceptions"),
        (exceptions.TimeoutError, "celery.exceptions"),
        (exceptions.MessageTooLarge, "celeriac.exceptions"),
        (KeyError, "builtins"),
    ],
)
def test_names_on_the_wire(cls: type[BaseException], module: str) -> None:
    assert wire_name(cls) == (module, cls.__qualname__)


def test_arguments_that_can_not_be_sent_become_reprs() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise LookupError

    stored = exception_to_meta(ValueError(1, {2}, Silent()))
    assert stored["exc_message"][:2] == [1, "{2}"]
    assert "Unrepresentable" in stored["exc_message"][2]
    assert exception_to_meta(ValueError({2}), "pickle")["exc_message"] == [{2}]


def test_a_constructor_that_refuses_its_own_arguments() -> None:
    again = back(Coded(404, reason="gone"))
    assert type(again) is Coded
    assert again.args == ("404: gone",)
    assert str(again) == "404: gone"


def test_a_constructor_that_would_say_it_twice() -> None:
    again = back(Prefixed("x"))
    assert type(again) is Prefixed
    assert str(again) == "no such name: x"


def test_an_exception_that_could_not_be_printed_has_a_stand_in() -> None:
    again = back(Talkative(5, "why"))
    assert isinstance(again, RemoteError)
    assert (type(again).__name__, again.args) == ("Talkative", ("why",))


def test_nested_classes_are_found_also_by_inheritance() -> None:
    assert type(exception_from_meta(meta("Outer.Inner"))) is Outer.Inner
    assert type(exception_from_meta(meta("Child.Inner"))) is Outer.Inner


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("system", "os"),
        ("Popen", "subprocess"),
        ("eval", "builtins"),
        ("int", "builtins"),
        ("Outer.Heir", __name__),
        ("Outer.Inner.args", __name__),
        ("Outer.__class__", __name__),
        ("__doc__", "os"),
        ("", "builtins"),
        ("SystemExit", "builtins"),
        ("KeyboardInterrupt", "builtins"),
        ("GeneratorExit", "builtins"),
        ("CancelledError", "asyncio.exceptions"),
        ("f.<locals>.E", __name__),
    ],
)
def test_what_is_no_ordinary_exception_is_never_called(name: str, module: str) -> None:
    again = exception_from_meta(meta(name, module, ["echo"]))
    assert isinstance(again, RemoteError)
    assert again.args == ("echo",)


def test_what_ends_programs_does_not_end_the_reader() -> None:
    for exc in (SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()):
        assert isinstance(back(exc), RemoteError)
        assert isinstance(exception_from_meta(exc), RemoteError)


def test_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        pytest.fail("something was imported")

    module = ModuleType("lazy_module")
    module.__getattr__ = refuse  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy_module", module)
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert type(exception_from_meta(meta("Error", "lazy_module"))).__module__ == "lazy_module"
    assert type(exception_from_meta(meta("BadZipFile", "zipfile_not_here"))).__name__ == "BadZipFile"


def test_a_lazily_loaded_module_stays_unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "this"  # it would print the Zen of Python
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    loader.exec_module(module)
    assert isinstance(exception_from_meta(meta("Error", name)), RemoteError)
    assert object.__getattribute__(module, "__class__") is not ModuleType


def test_something_odd_among_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slotted:
        __slots__ = ()

    monkeypatch.setitem(sys.modules, "odd_module", Slotted())
    assert isinstance(exception_from_meta(meta("Error", "odd_module")), RemoteError)


def test_a_stand_in_is_written_as_what_it_stands_for() -> None:
    stored = meta("AppError.Nested", "somewhere.else", ["boom", {"a": 1}])
    assert exception_to_meta(exception_from_meta(stored)) == stored


def test_a_stand_in_is_one_class_for_one_name() -> None:
    first, second = (exception_from_meta(meta("Same", "somewhere")) for _ in range(2))
    assert type(first) is type(second)
    assert repr(first) == "Same('boom')"
    assert isinstance(first, CeleriacError)


def test_the_number_of_stand_ins_is_bounded() -> None:
    oldest = weakref.ref(type(exception_from_meta(meta("Oldest", "bounded"))))
    for number in range(2000):
        exception_from_meta(meta(f"Error{number}", "bounded"))
    assert len(remote_errors._stand_ins) <= 512
    gc.collect()
    assert oldest() is None


@given(st.dictionaries(st.sampled_from(["exc_type", "exc_module", "exc_message"]), JSON) | JSON)
def test_whatever_is_stored_an_exception_comes_back(stored: object) -> None:
    again = exception_from_meta(stored)
    assert isinstance(again, Exception)
    str(again)
    repr(again)
    with pytest.raises(type(again)):
        raise again


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 10_000, "é", "."])
def test_odd_names(name: str) -> None:
    again = exception_from_meta(meta(name, "nowhere"))
    assert isinstance(again, RemoteError)
    assert len(type(again).__qualname__) <= 200


class Textual(Exception):
    """Has a text and no arguments, as pydantic's ValidationError."""

    def __init__(self, *, field: str) -> None:
        super().__init__()
        self.field = field

    def __str__(self) -> str:
        return f"field {self.field} is wrong"


class Hiding(Exception):
    detail = ""

    def __str__(self) -> str:
        return self.detail


def test_the_text_of_an_exception_without_arguments_was_lost() -> None:
    meta = exception_to_meta(Textual(field="name"))
    assert meta["exc_message"] == ["field name is wrong"]
    assert str(exception_from_meta(meta)) == "field name is wrong"


def test_a_class_that_would_not_say_the_text_has_a_stand_in() -> None:
    exc = exception_from_meta({"exc_type": "Hiding", "exc_message": ["the text"], "exc_module": __name__})
    assert isinstance(exc, RemoteError)
    assert (type(exc).__name__, str(exc)) == ("Hiding", "the text")


def test_an_exception_whose_text_can_not_be_had_is_stored_without() -> None:
    assert exception_to_meta(Textual.__new__(Textual))["exc_message"] == []
