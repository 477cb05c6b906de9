"""Cutting single connections to RabbitMQ from the server's side."""

from __future__ import annotations

from typing import Final

from servers.erlang import quoted
from servers.rabbitmq import RabbitServer
from servers.waiting import wait_until

_CUT: Final = """
Names = [NAMES],
Info = fun(C) -> rabbit_networking:connection_info(C, [vhost, client_properties]) end,
length([rabbit_networking:close_connection(C, "cut by a test") ||
  C <- rabbit_networking:connections(),
  [{vhost, VHOST}, {client_properties, Properties}] <- [Info(C)],
  {_, _, Name} <- [lists:keyfind(<<"connection_name">>, 1, Properties)],
  lists:member(Name, Names)])
"""
_HELD: Final = """
lists:sum([N || [{messages_unacknowledged, N}, {vhost, VHOST}] <-
  rabbit_channel:info_all([messages_unacknowledged, vhost])])
"""


def cut_connections(server: RabbitServer, vhost: str, names: tuple[str, ...]) -> None:
    """End the connections of these names; return when all that came over them is back in its queue.

    Raises:
        ServerFailed: that takes too long.
    """
    virtual_host = quoted(vhost)
    code = _CUT.replace("NAMES", ", ".join(map(quoted, names))).replace("VHOST", virtual_host)
    cut = int(server.eval(code))
    assert cut == len(names), f"{cut} connections instead of {len(names)} were cut"
    held = _HELD.replace("VHOST", virtual_host)

    def all_is_back() -> bool:
        # What queues have given out is what the channels that are left hold.
        queues = server.queues(vhost).values()
        return sum(queue.unacknowledged for queue in queues) == int(server.eval(held))

    wait_until(all_is_back, "what came over the connections is back in its queues")
