"""Which tests stay together when several processes share them: those that ask for a server of a kind of their own.

Knows the names of their files alone: that is all that the process which hands out the tests is told of them.
"""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadScopeScheduling

#: Files by the server that they share. It takes seconds of both cores to start one, and each process would.
_TOGETHER: Final = {
    f"tests/integration/rabbitmq/{name}.py": server
    for server, names in {
        "a node that may be harmed": ("test_frail_node", "test_reply_results_away", "test_worker_outages"),
        "a node with a short timeout": ("test_worker_long_tasks",),
        "the node of the tests of nodes": ("test_servers",),
        "a node that speaks TLS": ("test_tls",),
    }.items()
    for name in names
}


class Scheduling(LoadScopeScheduling):
    """Any process that is free takes the next test, or the next of `_TOGETHER` as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return _TOGETHER.get(nodeid.partition("::")[0], nodeid)
