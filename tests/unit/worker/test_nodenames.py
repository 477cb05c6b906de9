"""Node names and the abbreviations in names and file names."""

from __future__ import annotations

import pytest

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker import nodenames
from celeriac.worker.nodenames import default_nodename, host_format, node_format, split_nodename


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodenames, "gethostname", lambda: "box.example.com")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "celeriac@box.example.com"),
        ("", "celeriac@box.example.com"),
        ("w1", "w1@box.example.com"),
        ("w1@", "w1@box.example.com"),
        ("@other", "celeriac@other"),
        ("w1@%h", "w1@box.example.com"),
        ("w1@%n.%d", "w1@box.example.com"),
        ("w1@%n", "w1@box"),
        ("%h", "celeriac@box.example.com"),
        ("w1.%h", "celeriac@w1.box.example.com"),
        ("100%%@%d", "100%@example.com"),
    ],
)
def test_default_nodename(given: str | None, expected: str) -> None:
    assert default_nodename(given) == expected


def test_host_format_takes_another_host() -> None:
    assert host_format("%n of %d", host="a.b.c") == "a of b.c"


@pytest.mark.parametrize(
    ("text", "index", "expected"),
    [
        ("/var/log/%n.log", 0, "/var/log/w1.log"),
        ("/var/log/%n%I.log", 0, "/var/log/w1.log"),
        ("/var/log/%n%I.log", 3, "/var/log/w1-3.log"),
        ("%i", 0, "0"),
        ("%i", 3, "3"),
        ("%p|%h|%d|%%", 0, "w1@a.b|a.b|b|%"),
        ("plain", 0, "plain"),
    ],
)
def test_node_format(text: str, index: int, expected: str) -> None:
    assert node_format(text, "w1@a.b", index=index) == expected


def test_node_format_of_a_bare_host_uses_the_default_name() -> None:
    assert node_format("%n", "a.b") == "celeriac"


@pytest.mark.parametrize("text", ["%x", "end%", "%\n"])
def test_an_unknown_abbreviation_is_named(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="unknown abbreviation '%") as caught:
        node_format(text, "w1@a.b")
    assert "%n" in str(caught.value)


def test_split_nodename() -> None:
    assert split_nodename("a@b@c") == ("a", "b@c")
    assert split_nodename("b") == ("", "b")
