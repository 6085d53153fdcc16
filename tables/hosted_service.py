"""One service as a worker hosts it: its table, its readers' side and its partition tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tables.limits import Counters

if TYPE_CHECKING:
    import faust

    from models.transition import Service
    from tables.partition_task import PartitionTask
    from tables.views import StateTable


@dataclass(slots=True)
class HostedService:
    """A service on this worker. `tasks`: partition -> task, from the fencing of the partition on."""

    service: Service
    table: faust.Table[Any, Any]
    state: StateTable
    changelog: str
    counters: Counters = field(default_factory=Counters)
    tasks: dict[int, PartitionTask] = field(default_factory=dict)
