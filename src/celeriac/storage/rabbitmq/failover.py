"""Which of several servers to try, and in what order.

Knows nothing of connections.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.rabbitmq.addresses import Server

#: By name, or a function that gives an iterator over the URLs that it is given, for as long as it is asked.
Strategy = str | Callable[[list[str]], Iterable[str]]

STRATEGIES: Final = ("round-robin", "shuffle")


class Rotation:
    """The servers of a location, the last that worked first.

    Safe to use from any thread: two threads at once may at worst ask in another order.

    Args:
        servers: at least one.
        strategy: one of `STRATEGIES`, or a function.
    """

    def __init__(self, servers: Sequence[Server], strategy: Strategy = "round-robin") -> None:
        self.servers = tuple(servers)
        self._strategy = strategy
        self._best = self.servers[0]
        self._urls: Iterator[str] | None = None

    def order(self) -> Iterator[Server]:
        """As many as there are servers; the next one is asked for when the one before has failed.

        Raises:
            ImproperlyConfigured: the function gave something else than one of the URLs, or nothing.
        """
        best = self._best
        yield best
        if callable(self._strategy):
            for _ in self.servers[1:]:
                yield self._chosen(self._strategy)
            return
        index = self.servers.index(best)
        others = [*self.servers[index + 1 :], *self.servers[:index]]
        if self._strategy == "shuffle":
            random.shuffle(others)
        yield from others

    def worked(self, server: Server) -> None:
        """Begin with this one the next time."""
        self._best = server

    def _chosen(self, strategy: Callable[[list[str]], Iterable[str]]) -> Server:
        urls = [server.url for server in self.servers]
        if self._urls is None:
            self._urls = iter(strategy(urls))
            next(self._urls, None)  # kombu too takes the first one as tried
        url = next(self._urls, None)
        if url not in urls:
            raise ImproperlyConfigured(
                "broker_failover_strategy gave something that is not one of the URLs in broker_url; it is called with "
                "the list of them and must go on giving one of them each time, as itertools.cycle does"
            )
        return self.servers[urls.index(url)]
