"""What a scenario is: what it measures, what it needs, and the function that does it once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from benchmarks.harness import BenchError, Place, place
from benchmarks.redis_meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from benchmarks.environments import Environment
    from benchmarks.peers.base import Feature, Peer
    from benchmarks.servers import Servers


@dataclass(frozen=True)
class Metric:
    """One figure. `better` says in which direction; the table's ratios are turned accordingly.

    `compared` is False where a ratio says nothing: figures around zero, and shares.
    """

    key: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    compared: bool = True


@dataclass(frozen=True)
class Subject:
    """What is measured, and how large: `scale` is 1 for a full run and less for a quick one.

    `servers` are those of the run, for peers that use them.
    """

    peer: Peer
    environment: Environment
    scale: float = 1.0
    servers: Servers = field(default_factory=dict)

    def place(self, *, results: bool = False, coroutines: bool = False) -> AbstractContextManager[Place]:
        """A fresh place for one measurement; see `benchmarks.harness.place`."""
        return place(self.peer, self.environment, self.servers, results=results, coroutines=coroutines)

    def count(self, count: int) -> int:
        """`count` for this peer in this run; at least 20."""
        return max(20, int(self.peer.count(count) * self.scale))


@dataclass(frozen=True)
class Scenario:
    """One thing to measure. `run` does it once and returns figures by metric key; some may be missing."""

    name: str
    title: str
    metrics: tuple[Metric, ...]
    run: Callable[[Subject], dict[str, float]]
    needs: frozenset[Feature] = frozenset()


def redis_of(here: Place) -> Meter:
    """The Redis that the peer uses.

    Raises:
        BenchError: it uses none.
    """
    if not isinstance(here.server, Meter):
        raise BenchError(f"{here.peer.name} does not use Redis")
    return here.server


def percentile(samples: list[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of all do not exceed.

    Example:
        >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
        2.0
    """
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]
