"""Stamps: who gets which, and how they travel."""

from __future__ import annotations

from typing import Any

import pytest

from canvas_tasks import Tasks
from celeriac import Celeriac, Signature, StampingVisitor, chain, chord, group, signature
from celeriac.exceptions import EncodeError
from hand_worker import HandWorker


class Everything(StampingVisitor):
    """Notes what it is asked, and stamps each part with what it is."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def on_signature(self, sig: Signature[Any], **headers: Any) -> dict[str, Any]:
        self.asked.append(f"{sig.task} with {sorted(name for name in headers if name != 'stamped_headers')}")
        return {"task": sig.name}

    def on_chain_start(self, chain: Any, **headers: Any) -> dict[str, Any]:
        self.asked.append("chain start")
        return {"in_chain": True}

    def on_chain_end(self, chain: Any, **headers: Any) -> None:
        self.asked.append("chain end")

    def on_group_start(self, group: Any, **headers: Any) -> dict[str, Any]:
        self.asked.append(f"group start of {len(group)}")
        return {"in_group": True}

    def on_group_end(self, group: Any, **headers: Any) -> None:
        self.asked.append("group end")

    def on_chord_body(self, sig: Any, **header: Any) -> dict[str, Any]:
        self.asked.append(f"body {sig.body.task}")
        return {"body": True}

    def on_callback(self, callback: Signature[Any], **header: Any) -> dict[str, Any]:
        self.asked.append(f"callback {callback.task}")
        return {"callback": True}

    def on_errback(self, errback: Signature[Any], **header: Any) -> dict[str, Any]:
        self.asked.append(f"errback {errback.task}")
        return {"errback": True}


def stamps_of(sig: Signature[Any]) -> dict[str, Any]:
    return {name: sig.options[name] for name in sig.options.get("stamped_headers", ())}


def test_a_visitor_goes_through_all_of_it(tasks: Tasks) -> None:
    visitor = Everything()
    first = tasks.add.s(1, 2)
    callback, errback = tasks.echo.s(), tasks.echo.s("failed")
    first.link(callback)
    first.link_error(errback)
    workflow = chain(first, group(tasks.add.s(1), tasks.add.s(2)), tasks.total.s(), tasks.echo.s(), link=None)
    workflow = chain(workflow.tasks)
    assert workflow.stamp(visitor) is workflow
    assert visitor.asked == [
        "chain start",
        "callback sums.echo", "sums.echo with ['callback', 'in_chain']",
        "errback sums.echo", "sums.echo with ['errback', 'in_chain']",
        "sums.add with ['in_chain']",
        "group start of 2", "sums.add with ['in_chain', 'in_group']",
        "sums.add with ['in_chain', 'in_group']", "group end",
        "body celery.chain", "chain start", "sums.total with ['body', 'in_chain', 'in_group']",
        "sums.echo with ['body', 'in_chain', 'in_group']", "chain end",
        "chain end",
    ]  # fmt: skip
    stamped, joined = workflow.tasks
    assert isinstance(joined, chord)
    assert stamps_of(stamped) == {"in_chain": True, "task": "sums.add"}
    (linked,), (failed,) = stamped.options["link"], stamped.options["link_error"]
    assert stamps_of(linked) == {"in_chain": True, "callback": True, "task": "sums.echo"}
    assert stamps_of(failed) == {"in_chain": True, "errback": True, "task": "sums.echo"}
    assert stamps_of(joined.tasks[0]) == {"in_chain": True, "in_group": True, "task": "sums.add"}
    assert stamps_of(joined.body.kwargs["tasks"][0]) == {
        "in_chain": True, "in_group": True, "body": True, "task": "sums.total",
    }  # fmt: skip


def test_what_a_visitor_names_is_a_stamp_and_the_rest_are_options(tasks: Tasks) -> None:
    class Chooses(StampingVisitor):
        def on_signature(self, sig: Signature[Any], **headers: Any) -> dict[str, Any]:
            return {"tenant": "acme", "queue": "slow", "stamped_headers": ["tenant"]}

    made = tasks.add.s(1, 2).stamp(Chooses())
    assert made.options == {"tenant": "acme", "queue": "slow", "stamped_headers": ["tenant"]}


def test_all_parts_are_stamped_without_a_visitor_too(tasks: Tasks) -> None:
    joined = chord([tasks.add.s(1, 2)], tasks.total.s()).stamp(tenant="acme")
    lazy = group(tasks.add.s(n, n) for n in range(2)).stamp(tenant="acme")
    for sig in (*joined.tasks, joined.body, *lazy.tasks):
        assert stamps_of(sig) == {"tenant": "acme"}


def test_stamps_of_a_signature_stay_when_it_is_sent_with_others(tasks: Tasks, worker: HandWorker) -> None:
    made = tasks.add.s(1, 2).stamp(tenant="acme")
    made.apply_async(stamped_headers=["tenant"], tenant="other")  # type: ignore[call-arg]
    assert worker.waiting()[0].message.headers["stamps"] == {"tenant": "acme"}


def test_stamps_travel_as_headers_and_tasks_see_them(app: Celeriac, worker: HandWorker) -> None:
    @app.task(bind=True)
    def which(self: Any, *before: Any) -> Any:
        return [self.request.stamped_headers, self.request.stamps]

    result = which.s().stamp(tenant="acme", trace=["a", "b"]).delay()
    headers = worker.waiting()[0].message.headers
    assert headers["stamped_headers"] == ["tenant", "trace"]
    assert headers["stamps"] == {"tenant": "acme", "trace": ["a", "b"]}
    worker.run_all()
    assert result.get(timeout=1) == [["tenant", "trace"], {"tenant": "acme", "trace": ["a", "b"]}]
    assert which.s().stamp(tenant="acme").apply().get() == [["tenant"], {"tenant": "acme"}]


def test_stamps_of_links_and_later_steps_travel_with_them(tasks: Tasks, worker: HandWorker) -> None:
    first = tasks.add.s(1, 2)
    first.link(tasks.echo.s())
    chain(first, tasks.echo.s()).stamp(tenant="acme").delay()
    seen = []
    for _ in range(2):
        seen += [(one.message.headers["task"], one.message.headers["stamps"]) for one in worker.waiting()]
        worker.run_all()
    assert seen[0] == ("sums.add", {"tenant": "acme"})
    assert tasks.seen.count(("echo", (3,))) == 2


def test_a_retry_keeps_its_stamps(app: Celeriac, worker: HandWorker) -> None:
    @app.task(bind=True)
    def again(self: Any) -> Any:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return [self.request.stamps, self.request.as_execution_options()["tenant"]]

    result = again.s().stamp(tenant="acme").delay()
    worker.run_all()
    assert result.get(timeout=1) == [{"tenant": "acme"}, "acme"]


def test_names_that_are_no_stamps_are_refused(tasks: Tasks) -> None:
    with pytest.raises(TypeError, match="'tenant' is no call option"):
        tasks.add.s(1, 2).set(tenant="acme")
    with pytest.raises(TypeError, match=r"names of stamps, as a list"):
        tasks.add.s(1, 2).set(stamped_headers="tenant")
    with pytest.raises(EncodeError, match="stamps"):
        signature("t").stamp(tenant=object()).apply_async()
