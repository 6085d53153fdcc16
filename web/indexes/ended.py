"""Reads records that had ended before this worker had their partition, which indexes are not fed."""

import asyncio
from collections.abc import Callable

from tables import NotOwnerError, NotReadyError, StateTable, StoredRecord


class EndedRecordsReader:
    """Once for each partition, when somebody first asks. All methods run on the worker's event loop."""

    def __init__(self, table: StateTable, tell: Callable[[int, StoredRecord], None]) -> None:
        """tell: is given every record of a partition; may be given one twice."""
        self._table, self._tell = table, tell
        self._reading: dict[int, asyncio.Task[None]] = {}

    async def read(self, partition: int, within_s: float) -> None:
        """Return once all of them are read; goes on when the caller leaves.

        Reads the whole partition, in slices that yield. Raises NotOwnerError, and NotReadyError also
        when it takes longer than the caller can wait.
        """
        reading = self._reading.get(partition)
        if reading is None or _has_failed(reading):
            reading = asyncio.create_task(self._read(partition), name=f"{self._table.name}: ended")
            self._reading[partition] = reading
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(reading)
        except TimeoutError:
            raise NotReadyError(self._table.name) from None
        except asyncio.CancelledError:
            if reading.cancelled():  # the partition has left; else our own caller has
                raise NotOwnerError(self._table.name) from None
            raise

    def closed(self, partition: int) -> None:
        """The partition has left."""
        reading = self._reading.pop(partition, None)
        if reading is not None:
            reading.cancel()

    async def _read(self, partition: int) -> None:
        after = ""
        while slice_ := self._table.scan(partition, after):
            for record in slice_:
                # Read and passed on without a pause: nothing newer can be overwritten.
                self._tell(partition, record)
            after = slice_[-1].key
            await asyncio.sleep(0)


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
