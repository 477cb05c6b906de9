"""Results of several tasks: kept under the id of their group."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest

from celeriac import Celeriac, EagerResult, GroupResult
from celeriac.exceptions import DecodeError, NotSupported
from celeriac.result_meta import encode_group
from celeriac.testing import VirtualClock
from grouping import group_of


@pytest.mark.parametrize("serializer", ["json", "pickle", "msgpack", "yaml"])
def test_saved_groups_are_restored(app: Celeriac, serializer: str) -> None:
    app.conf.update(result_serializer=serializer, result_accept_content=[serializer], result_compression="gzip")
    group = GroupResult("g", [app.AsyncResult("1"), group_of(app, "2")], app.AsyncResult("p"), app)
    group.save()
    assert app.GroupResult.restore("g") == GroupResult.restore("g", app=app) == group
    group.delete()
    group.delete()
    assert app.GroupResult.restore("g") is None


def test_saving_for_asyncio(app: Celeriac) -> None:
    async def main() -> None:
        group = group_of(app, "1", "2")
        await group.asave()
        assert await app.GroupResult.arestore("g") == await GroupResult.arestore("g", app=app) == group
        await group.adelete()
        assert await app.GroupResult.arestore("g") is None

    asyncio.run(main())


def test_saved_groups_last_as_long_as_results(app: Celeriac, clock: VirtualClock) -> None:
    app.conf.result_expires = 60
    group_of(app, "1").save()
    clock.advance(59)
    assert app.GroupResult.restore("g") is not None
    clock.advance(2)
    assert app.GroupResult.restore("g") is None


def test_a_group_is_stored_in_celerys_form(app: Celeriac) -> None:
    group_of(app, "1").save()
    assert app.backend.load_group("g") == b'{"result": [["g", null], [[["1", null], null]]]}'
    app.backend.save_group("task", encode_group((("1", None), None)), None)
    with pytest.raises(DecodeError, match="result of a task"):
        app.GroupResult.restore("task")
    app.backend.save_group("odd", b'{"status": "SUCCESS"}', None)
    with pytest.raises(DecodeError, match="no group"):
        app.GroupResult.restore("odd")


def test_without_results_asking_is_an_error() -> None:
    with Celeriac("t", broker="memory://", backend="disabled://") as app:
        group = group_of(app, "1", "2")
        for ask in (group.get, group.ready, group.save, lambda: app.GroupResult.restore("g")):
            with pytest.raises(NotSupported, match="result_backend"):
                ask()
        group.delete()


def test_eager_results_need_no_store() -> None:
    with Celeriac("t", broker="memory://", backend="disabled://") as app:
        good = EagerResult[int]("1", 5, "SUCCESS", app=app)
        bad = EagerResult[int]("2", ValueError("boom"), "FAILURE", app=app)
        assert app.ResultSet([good, good]).get() == [5, 5]
        both = GroupResult("g", [good, bad], app=app)
        assert (both.ready(), both.failed(), both.completed_count()) == (True, True, 1)
        assert list(both.iterate()) == [good, bad]
        with pytest.raises(ValueError, match="boom"):
            both.get()
        assert asyncio.run(app.ResultSet([good]).aget()) == [5]
        assert copy.copy(good).get() == pickle.loads(pickle.dumps(good)).get() == 5
        values: list[Any] = []
        app.ResultSet([good]).then(values.append).result(0)
        both.then(values.append, on_error=lambda error: values.append(repr(error))).result(0)
        assert values[1] == "ValueError('boom')"
