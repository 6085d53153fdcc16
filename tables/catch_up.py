"""How far this worker has read: waits until a service has decided all that lay in its inputs.

A state that was just recovered may be behind Kafka: what was sent while nobody read is decided only
now. Who acts on what a record does not say (no answer came, nothing is assigned) waits for that first.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping
from typing import Final

from faust.types import TP

from tables import InputPosition, ServiceRuntime

POLL_INTERVAL_S: Final = 0.05


class CatchUp:
    """Reads the runtime's positions and Kafka's end offsets. Runs on the worker's event loop."""

    def __init__(self, runtime: ServiceRuntime) -> None:
        self._runtime = runtime

    async def caught_up(self, services: Iterable[str], partition: int) -> None:
        """Return once each service has made durable what its inputs held when this was called.

        Waits for the partition to be opened here, however long; the caller sets the bound. Raises
        what Kafka's client raises when the end offsets can't be had.
        """
        services = tuple(services)
        while not self._is_open(services, partition):  # noqa: ASYNC110 - positions have no event
            await asyncio.sleep(POLL_INTERVAL_S)
        inputs = {TP(at.topic, partition) for at in self._positions(services, partition)}
        ends = await self._runtime.read_ends(sorted(inputs))
        while not self._has_done(services, partition, ends):  # noqa: ASYNC110 - as above
            await asyncio.sleep(POLL_INTERVAL_S)

    def _is_open(self, services: tuple[str, ...], partition: int) -> bool:
        return {at.service for at in self._positions(services, partition)} == set(services)

    def _has_done(self, services: tuple[str, ...], partition: int, ends: Mapping[TP, int]) -> bool:
        # What is behind a batch that can't be read must not hold up whoever waits for the rest.
        stopped = {
            stop.topic: stop.offset
            for stop in self._runtime.stops.all()
            if stop.partition == partition and not stop.service
        }
        return self._is_open(services, partition) and all(
            at.durable_offset + 1
            >= min(ends.get(TP(at.topic, partition), 0), stopped.get(at.topic, math.inf))
            for at in self._positions(services, partition)
        )

    def _positions(self, services: tuple[str, ...], partition: int) -> list[InputPosition]:
        return [
            at
            for at in self._runtime.positions()
            if at.partition == partition and at.service in services
        ]
