"""Calls whose way is compared: as texts, so that each side reads them with queues and exchanges of its own library."""

from __future__ import annotations

from typing import Final, NamedTuple

_QUEUES: Final = """[
    Queue("celery"),
    Queue("feeds", Exchange("feeds", type="topic"), routing_key="feed.#"),
    Queue("eu", Exchange("feeds", type="topic"), routing_key="feed.*.eu"),
    Queue("news", Exchange("news", type="fanout")),
    Queue("red", Exchange("h", type="headers"), binding_arguments={"colour": "red"}),
    Queue("many", [binding(Exchange("feeds", type="topic"), "a.#"), binding(Exchange("other"), "b")]),
    Broadcast("all", queue="bcast.1"),
]"""
_OLD_QUEUES: Final = """{
    "plain": {},
    "keyed": {"routing_key": "k"},
    "videos": {"exchange": "media", "exchange_type": "topic", "binding_key": "media.video"},
}"""


class Case(NamedTuple):
    """One call.

    Attributes:
        settings: of the app.
        options: of the call.
        task: attributes of the task; None: it is sent by its name alone.
        name: the task's.
    """

    settings: str = "{}"
    options: str = "{}"
    task: str | None = "{}"
    name: str = "proj.feed.import"


def _routes(routes: str, options: str = "{}", task: str | None = "{}") -> Case:
    return Case(f"{{'task_queues': {_QUEUES}, 'task_routes': {routes}}}", options, task)


def _queues(options: str, task: str | None = "{}") -> Case:
    return Case(f"{{'task_queues': {_QUEUES}}}", options, task)


def _old(options: str) -> Case:
    return Case(f"{{'task_queues': {_OLD_QUEUES}, 'task_default_exchange_type': 'topic'}}", options)


CASES: Final = (
    Case(),
    Case(task=None),
    Case("{'task_default_queue': 'main'}"),
    Case("{'task_default_queue': 'main', 'task_default_exchange_type': 'topic'}"),
    Case("{'task_default_exchange': 'x', 'task_default_exchange_type': 'topic', 'task_default_routing_key': 'k'}"),
    Case("{'task_default_exchange_type': 'topic'}", "{'routing_key': 'own'}"),
    Case("{'task_default_exchange_type': 'topic'}", "{'queue': 'other'}"),
    Case("{'task_create_missing_queue_exchange_type': 'topic'}", "{'queue': 'other'}"),
    Case("{'task_default_exchange_type': 'fanout'}"),
    Case(options="{'queue': 'other'}"),
    Case(options="{'queue': 'other', 'routing_key': 'ignored'}"),
    Case(options="{'routing_key': 'ignored'}"),
    Case(options="{'exchange': 'media'}"),
    Case(options="{'exchange': 'media', 'routing_key': 'video'}"),
    Case(options="{'exchange': 'media', 'routing_key': 'video', 'exchange_type': 'topic'}"),
    Case(options="{'exchange': 'media', 'exchange_type': 'fanout'}"),
    Case(options="{'queue': Queue('made', Exchange('media', type='topic'), routing_key='media.#')}"),
    Case(options="{'queue': Queue('made')}"),
    Case(options="{'queue': worker_direct('w1@host')}"),
    Case(options="{'queue': 'w1@host.dq2'}"),
    _queues("{}"),
    _queues("{'queue': 'feeds'}"),
    _queues("{'queue': 'feeds'}", None),
    _queues("{'queue': 'eu', 'routing_key': 'feed.sport.eu'}"),
    _queues("{'queue': 'news'}"),
    _queues("{'queue': 'red'}"),
    _queues("{'queue': 'many'}"),
    _queues("{'queue': 'all'}"),
    _queues("{'queue': 'feeds', 'exchange': 'media'}"),
    _queues("{'queue': 'feeds', 'exchange': 'media', 'routing_key': 'video'}"),
    _queues("{'exchange': 'feeds', 'routing_key': 'feed.x'}"),
    _queues("{}", "{'queue': 'eu'}"),
    _queues("{}", "{'exchange': 'feeds', 'routing_key': 'feed.x'}"),
    _queues("{'queue': 'other'}", "{'queue': 'eu', 'routing_key': 'k'}"),
    _queues("{'routing_key': 'feed.call'}", "{'queue': 'eu'}"),
    _old("{}"),
    _old("{'queue': 'plain'}"),
    _old("{'queue': 'keyed'}"),
    _old("{'queue': 'videos'}"),
    _old("{'queue': 'new'}"),
    _routes("{'proj.feed.import': 'feeds'}"),
    _routes("{'proj.feed.import': {'queue': 'feeds', 'routing_key': 'feed.import'}}"),
    _routes("{'proj.feed.import': {'queue': 'other'}}"),
    _routes("{'proj.feed.import': {'exchange': 'media', 'routing_key': 'video'}}"),
    _routes("{'proj.feed.import': {'routing_key': 'ignored'}}"),
    _routes("{'proj.feed.import': {'queue': 'other'}}", "{'queue': 'eu'}"),
    _routes("{'proj.feed.import': {'queue': 'other'}}", "{'routing_key': 'k'}"),
    _routes("{'proj.feed.import': {'queue': 'eu'}}", "{'routing_key': 'k'}"),
    _routes("{'proj.feed.import': {'queue': 'other'}}", "{}", "{'queue': 'eu'}"),
    _routes("{'proj.feed.import': {'queue': 'other'}}", "{}", None),
    _routes("{'proj.*': 'first', 'proj.feed.*': 'second'}"),
    _routes("{'proj.*': 'glob', 'proj.feed.import': 'exact'}"),
    _routes("{'*.import': 'glob'}"),
    _routes("{'proj.feed.impor?': 'no glob'}"),
    _routes("{'proj.[ef]*.import': 'a set'}"),
    _routes("{re.compile(r'proj\\.(feed|web)\\..*'): 'regex'}"),
    _routes("{re.compile('feed'): 'not at the start'}"),
    _routes("([('proj.feed.*', {'queue': 'feeds'}), ('web.*', {'queue': 'web'})],)"),
    _routes("[{'web.*': 'web'}, {'proj.*': 'proj'}]"),
    _routes("lambda name, args, kwargs, options, task=None, **kw: 'by function'"),
    _routes("(lambda name, *a, **k: None, lambda name, *a, **k: {'queue': 'second'})"),
    _routes("(lambda name, *a, **k: {}, {'proj.*': 'not reached'})"),
    _routes("(lambda name, args, kwargs, options, task=None, **kw: options['queue'].name + '!',)", "{'queue': 'eu'}"),
    _routes("(lambda name, args, kwargs, options, task=None, **kw: task and task.name,)"),
    _routes("(lambda name, args, kwargs, options, task=None, **kw: str(args) + str(kwargs),)"),
    _routes("type('Router', (), {'route_for_task': lambda self, task, args=None, kwargs=None: {'queue': task}})()"),
)
