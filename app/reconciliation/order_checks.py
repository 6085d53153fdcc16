"""Holds payments and orders that have ended against each other, over and over, a few at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from app.task_runner import Background
from tables import NotOwnerError, NotReadyError, StateTable
from web.indexes.money import MoneyIndex

log = structlog.stdlib.get_logger(__name__)

RECORDS_AT_ONCE: Final = 25
PAUSE_S: Final = 0.25
"""After so many records: with the above, a hundred records a second."""
BETWEEN_PASSES_S: Final = 600.0


class EndedOrderChecks(Background):
    """A task that gives the money's live checks what has ended, which they do not keep in memory.

    A payment and its order are checked whenever one of them changes; what is broken stays in memory until the
    partition leaves. Its next worker finds it here: with a million payments in a partition, within three hours.
    """

    def __init__(
        self,
        payments: StateTable,
        money: MoneyIndex,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self.checked = 0
        self._payments, self._money, self._sleep = payments, money, sleep

    async def _run(self) -> None:
        while True:
            for partition in self._payments.open_partitions():
                await self._check(partition)
            await self._sleep(BETWEEN_PASSES_S)

    async def _check(self, partition: int) -> None:
        after, before = "", self.checked
        try:
            while records := self._payments.scan(partition, after, RECORDS_AT_ONCE):
                for record in records:
                    # Read and taken in without a pause: nothing newer can be overwritten.
                    self._money.updated(partition, record.key, record)
                self.checked += len(records)
                after = records[-1].key
                await self._sleep(PAUSE_S)
        except (NotOwnerError, NotReadyError):
            return  # its next worker begins anew
        except Exception:
            log.exception("payments that have ended could not be checked", partition=partition)
            return
        count = self.checked - before
        log.debug("payments were held against their orders", partition=partition, payments=count)
