"""Chords as arguments of scripts: what is told once, and which settlements are told in few words."""

from __future__ import annotations

import msgspec

from celeriac.backends.redis import RedisBackend
from celeriac.backends.redis.chord_writing import ChordRules, ChordTable, lasting
from celeriac.brokers.redis.publishing import Layout
from celeriac.brokers.redis.settling import SettlementWriter
from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart
from celeriac.config import Settings
from celeriac.message import Delivery, Message, PackedMessage
from celeriac.outcome import Acknowledge, Bury, Flow, Keep, ResultRecord, Settlement
from celeriac.storage.redis.commands import Arg
from celeriac.storage.redis.keys import PRIORITY_STEPS, Keys, ResultKeys, id_bytes, id_text
from celeriac.storage.redis.reading import read_location

RULES = ChordRules("p:")


def share(index: int | None, group_id: str = "g", body: bytes = b"body", ttl: float | None = 60.0) -> ChordShare:
    return ChordShare(group_id, f"t{index}", index, b"part%r" % index, body, "root", "q", ttl)


def write(*settlements: Settlement) -> list[Arg]:
    location = read_location("redis://localhost", {}, setting="result_backend", settings=Settings())
    writer = SettlementWriter(Layout(Keys(), PRIORITY_STEPS), RedisBackend(location))
    return writer.write(settlements, 0.0)


def settlement(
    flow: Flow | None, action: Acknowledge | Keep | Bury | None = None, *, fenced: bool = True
) -> Settlement:
    packed = PackedMessage.pack(Message({"task": "t", "id": "1"}, {}, b"[[], {}, {}]"))
    delivery = Delivery(1, 1, packed, "q")
    return Settlement(
        delivery, action or Acknowledge(), ResultRecord("1", "SUCCESS", b"meta"), fenced=fenced, flow=flow
    )


def test_a_body_is_told_once() -> None:
    table = ChordTable(RULES)
    own = msgspec.structs.replace(share(1, body=bytes(bytearray(b"body"))), root_id="t1")
    first, *others = table.share(share(0)), table.share(own), table.share(share(None)), table.share(share(0, "h"))
    assert first == (1, b"t0:0", b"root", b"part0")
    assert others[0] == (1, b"t1:1", b"=", b"part1")
    assert others[1:] == [(1, b"tNone:+inf", b"root", b"partNone"), (2, b"t0:0", b"root", b"part0")]
    head: list[Arg] = [2, "p:", "zset", b"g", b"h", 2]
    assert table.arguments() == [*head, 1, b"body", "q", 0, 60, 2, b"body", "q", 0, 60]


def test_what_differs_is_told_apart() -> None:
    table = ChordTable(RULES._replace(ordered=False))
    table.shares([share(0), share(1, body=b"other"), share(2, ttl=None)])
    assert table.arguments()[:5] == [1, "p:", "list", b"g", 3]


def test_chords_are_numbered_as_they_are_named() -> None:
    table = ChordTable(RULES)
    assert table.ends([ChordEnd("a", "claim")]) == [1, 1, "claim"]
    starts = [ChordStart("b", 7), ChordStart("a", 2, 0.5, b"body", "root", "q")]
    assert table.starts(starts) == [2, 2, 7, -1, b"", b"", "", 1, 2, 1, b"body", b"root", "q"]
    growths = [ChordGrowth("c", "one", ("x", "y")), ChordGrowth("a", "one", retries=1, losses=2)]
    assert table.grown(growths) == [2, 3, b"one", 0, 2, b"x", b"y", 1, b"one", (1 << 20) + 2, 0]
    assert table.arguments() == [3, "p:", "zset", b"a", b"b", b"c", 0]


def test_no_chords_are_one_argument() -> None:
    assert ChordTable(RULES).arguments() == [0]


def test_times_are_whole_seconds_as_celery_writes_them() -> None:
    assert [lasting(ttl) for ttl in (None, 0.0, 0.4, 1.0, 86400.9)] == [-1, 1, 1, 1, 86400]


def test_a_member_is_settled_in_few_words() -> None:
    plain, member = write(settlement(None)), write(settlement(Flow(shares=(share(0),))))
    told = plain[plain.index("s") + 1 :]
    assert len(told) == 4
    assert member[member.index("h") :] == ["h", *told, 1, b"t0:0", b"root", b"part0"]


def test_all_else_of_workflows_is_told_in_full() -> None:
    one = (share(0),)
    for flow in (
        Flow(),
        Flow(shares=(share(0), share(1))),
        Flow(shares=one, grown=(ChordGrowth("g", "one", ("x",)),)),
        Flow(shares=one, starts=(ChordStart("g", 1),)),
        Flow(shares=one, ends=(ChordEnd("g", "claim"),)),
        Flow(shares=one, results=(ResultRecord("2", "FAILURE", b""),)),
    ):
        assert "w" in write(settlement(flow)), flow
    assert "w" in write(settlement(Flow(shares=one), Bury("no")))
    assert "w" in write(settlement(Flow(shares=one), Keep(), fenced=False))


def test_names_are_celerys() -> None:
    keys = ResultKeys("app_")
    assert keys.group("g") == b"app_celery-taskset-meta-g"
    assert keys.chord_note("g") == b"app_celeriac:chord:g"
    assert keys.joins("q") == "app_celeriac:joins:q"
    assert keys.chords() == "app_celeriac:chords"
    assert id_text(id_bytes("\ud800x")) == "\ud800x"
