"""A Faust table whose changelog only partition tasks write, and its place in Faust's rebalance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import faust

from tables.changelog import is_engine_record

if TYPE_CHECKING:
    from faust.types import TP


class TableHooks(Protocol):
    """What happens at each stage of a table, in Faust's order."""

    async def on_table_assigned(self, name: str, generation: int) -> None:
        """The databases are open, recovery has not read the changelog's end yet."""

    def on_foreign_records(self, name: str, count: int) -> None:
        """Recovery met so many changelog records that the engine did not write."""

    def on_recovery_failed(self, name: str, exc: BaseException) -> None:
        """A changelog batch could not be applied; Faust would go on without it."""

    async def on_table_recovered(self, name: str) -> None:
        """The table is at its changelog's end; Faust has not sought to where reading begins yet."""

    async def stop(self) -> None:
        """The worker ends; the consumer is there still. Called once for each table."""


class FencedTable(faust.Table[Any, Any]):
    """Calls `hooks`; recovers only records that the engine wrote."""

    hooks: TableHooks

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """After Faust has opened the databases."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        await self.hooks.on_table_assigned(self.name, generation_id)

    def apply_changelog_batch(self, batch: Any) -> None:
        """Recover a batch, without records that the engine did not write."""
        try:
            ours = [
                event for event in batch if is_engine_record(event.message.key, event.message.value)
            ]
            gaps = sum(event.message.key is event.message.value is None for event in batch)
            self.hooks.on_foreign_records(self.name, len(batch) - len(ours) - gaps)
            super().apply_changelog_batch(ours)
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the table would not be whole
            self.hooks.on_recovery_failed(self.name, exc)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Before Faust seeks to where reading begins."""
        await super().on_recovery_completed(active_tps, standby_tps)
        await self.hooks.on_table_recovered(self.name)

    async def stop(self) -> None:
        """On shutdown partitions are not revoked first."""
        await self.hooks.stop()
        await super().stop()
