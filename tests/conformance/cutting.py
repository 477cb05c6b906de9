"""Cutting single workers off from RabbitMQ, from the server's side: each broker of a test is a user of its own."""

from __future__ import annotations

import itertools
import json
from typing import Final

from servers.erlang import quoted
from servers.rabbitmq import RabbitServer
from servers.waiting import wait_until

_numbers: Final = itertools.count(1)

_USERS: Final = """
Info = fun(C) -> rabbit_networking:connection_info(C, [vhost, user, client_properties]) end,
rabbit_json:encode(maps:from_list([{Name, User} ||
  C <- rabbit_networking:connections(),
  [{vhost, VHOST}, {user, User}, {client_properties, Properties}] <- [Info(C)],
  {_, _, Name} <- [lists:keyfind(<<"connection_name">>, 1, Properties)]]))
"""
_CUT: Final = """
rabbit_auth_backend_internal:clear_permissions(USER, VHOST, <<"tests">>),
[rabbit_networking:close_connection(C, "cut by a test") ||
  C <- rabbit_networking:connections(), [{user, USER}] <- [catch rabbit_networking:connection_info(C, [user])]]
"""
_HELD: Final = """
lists:sum([N || [{messages_unacknowledged, N}, {vhost, VHOST}] <-
  rabbit_channel:info_all([messages_unacknowledged, vhost])])
"""


class Scissors:
    """Cuts workers off and lets them back.

    Args:
        server: the node.
        vhost: the virtual host of the test.
    """

    def __init__(self, server: RabbitServer, vhost: str) -> None:
        self._server = server
        self._vhost = vhost
        self._cut_off: dict[str, str] = {}

    def new_url(self) -> str:
        """A URL with a user that nobody else has."""
        user = f"user-{next(_numbers)}"
        self._server.add_user(user, "secret")
        self._server.permit(user, self._vhost)
        return self._server.url(self._vhost, user=user, password="secret")

    def cut(self, owners: tuple[str, ...]) -> None:
        """End all connections of these workers and allow no new ones; return when what they held is in its queues.

        Raises:
            KeyError: no such worker is connected.
            ServerFailed: that takes too long.
        """
        users: dict[str, str] = json.loads(self._eval(_USERS))
        for owner in owners:
            self._cut_off[owner] = users[owner]
            self._eval(_CUT.replace("USER", quoted(users[owner])))
        wait_until(self._all_is_back, "what came over the connections is back in its queues")

    def let_back(self, owners: tuple[str, ...]) -> None:
        """Allow them to connect again."""
        for owner in owners:
            self._server.permit(self._cut_off.pop(owner), self._vhost)

    def _all_is_back(self) -> bool:
        """What queues have given out is what the channels that are left hold."""
        queues = self._server.queues(self._vhost).values()
        return sum(queue.unacknowledged for queue in queues) == int(self._eval(_HELD))

    def _eval(self, code: str) -> str:
        return self._server.eval(code.replace("VHOST", quoted(self._vhost)))
