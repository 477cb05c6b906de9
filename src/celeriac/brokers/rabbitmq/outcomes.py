"""Outcomes that were there before their messages came back: written then, and until it succeeds.

Knows nothing of connections and trips: it settles as any caller of the session does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from celeriac.brokers.batches import PartlySettled
from celeriac.exceptions import CeleriacError, OperationalError
from celeriac.outcome import Bury, Settlement

if TYPE_CHECKING:
    from celeriac.brokers.rabbitmq.holdings import Holdings

logger = logging.getLogger("celeriac.broker")


class Outcomes:
    """Writes them.

    Args:
        holdings: what is held, with outcomes that wait for their messages.
        settle: as `Broker.settle`.

    Attributes:
        task: the one that writes, if there was anything yet.
    """

    def __init__(
        self, holdings: Holdings, settle: Callable[[Sequence[Settlement]], Awaitable[list[Settlement]]]
    ) -> None:
        self.task: asyncio.Task[None] | None = None
        self._holdings = holdings
        self._settle = settle

    def note(self, settlement: Settlement) -> None:
        """Write this soon: its message has come back."""
        held = self._holdings.find(settlement.delivery)
        if held is not None:
            held.settlement = settlement
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(guarded(self.write))

    async def write(self) -> None:
        """Write what is there by now. To be called at intervals, for what could not be written before.

        Raises:
            OperationalError: the server is away, or can not take some of them.
        """
        outcomes = [held.settlement for held in self._holdings.placed() if held.settlement is not None]
        try:
            if outcomes:
                await self._settle(outcomes)
        except OperationalError:
            raise
        except CeleriacError as error:
            if len(outcomes) == 1:
                self._bury(outcomes[0], error)
            else:
                await self._write_singly(outcomes)

    async def _write_singly(self, outcomes: Sequence[Settlement]) -> None:
        """What was written already counts as written."""
        for one in outcomes:
            try:
                await self._settle([one])
            except PartlySettled:
                continue
            except OperationalError:
                raise
            except CeleriacError as error:
                self._bury(one, error)

    def _bury(self, settlement: Settlement, error: CeleriacError) -> None:
        """Its outcome can never be written."""
        held = self._holdings.find(settlement.delivery)
        if held is not None and not isinstance(settlement.action, Bury):
            logger.error("Task %s becomes a dead letter: %s", settlement.delivery.label, error)
            held.settlement = Settlement(settlement.delivery, Bury(f"its outcome can not be written: {error!r}"))


async def guarded(step: Callable[[], Awaitable[None]]) -> None:
    """Do something that will be done again later, so that its failure must not stop anything."""
    try:
        await step()
    except OperationalError as error:
        logger.debug("Looking after queues has to wait: %s", error)
    except Exception:  # it must go on whatever happens
        logger.exception("Looking after queues failed, trying on")
