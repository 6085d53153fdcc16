"""How much a task takes on, and what it counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one service's tasks. Sizes in bytes, times in seconds unless the name says else.

    The producer's max request size and the changelog's `max.message.bytes` (MESSAGE_BYTES, set by
    `make_app` and `ServiceRuntime`) hold a record of `record_bytes` plus its outbox.
    """

    commit_batch_inputs: int = 10_000
    """Inputs that one commit batch takes while the one before it becomes durable."""
    commit_batch_s: float = 0.1
    """Time spent on deciding a commit batch's inputs, after which it takes no more: until then no reader
    sees them, and serialising them, which can't be interrupted, takes longer with each."""
    gather_s: float = 0.0
    """How long a commit batch waits for more inputs before it is made durable, unless it is full: where
    nobody waits for a service, few larger ones cost less."""
    inbox_inputs: int = 8_000
    """Inputs fetched and not yet decided at which a task pauses its partitions."""
    inbox_bytes: int = 32 * 1024 * 1024
    """The same in bytes of their values: compressed, a fetch can hold much more than it weighs."""
    cached_records: int = 2_000
    """Stored records that a task keeps in memory, those that it read last."""
    slice_s: float = 0.01
    """Time spent on inputs before other tasks of the worker get a turn."""
    record_bytes: int = 1_000_000
    """A key whose record would grow beyond this, outbox aside, is quarantined."""
    output_bytes: int = 900_000
    """A larger output or row quarantines its key; fits Kafka's default of 1 MiB a message."""
    entry_bytes: int = 1_500_000
    """An input whose outputs take more than this as they are stored quarantines its key."""
    dead_letter_bytes: int = 256_000
    """A larger value is left out of its dead letter, which still says where the original lies."""
    key_inputs: int = 64
    """Inputs of one key that a commit batch takes: a hot key waits for the next. What they lead to is in one
    record, and should one of them quarantine the key, all of them are."""
    key_bytes: int = 512_000
    """The same in bytes, of inputs and of what they led to."""
    ids_per_topic: int = 64
    """Ids remembered per key and topic of senders that have no sequences."""
    outcomes: int = 200
    """Outcomes of commands kept per key."""
    outcome_ttl_s: int = 24 * 3600
    """How long an outcome is kept, by the timestamps of the key's inputs."""
    gap_repair_s: float = 1.0
    """A missing offset is asked for again after this time."""
    gap_exit_s: float = 10.0
    """A missing offset that never comes ends the process after this time."""
    tail_repair_s: float = 3.0
    """Last records of a partition that do not come are asked for again after this time."""
    tail_exit_s: float = 60.0
    """They end the process after this time: longer, for Kafka itself may be away."""
    inspect_s: float = 10.0
    """How often Kafka is asked whether it still has the topics and records that tables build on."""


BATCH_BYTES = 256 * 1024
"""Of one Kafka batch that is sent, uncompressed; a larger record has one of its own."""
MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest message that a changelog takes and a producer sends."""


@dataclass(slots=True)
class Counters:
    """What one service's tasks on this worker have done since it started.

    Each is a metric `tiffin_engine_..._total` (app/metrics).
    """

    inputs: int = 0
    """Inputs whose state and outputs are durable, dropped and dead-lettered ones included."""
    decided: int = 0
    redelivered: int = 0
    """Dropped by offset: this very record was decided before."""
    duplicates: int = 0
    """Dropped by sequence or id: the sender sent it again."""
    unreadable: int = 0
    odd_times: int = 0
    """Inputs whose producer gave an impossible time; the time of reading is taken instead."""
    quarantined: int = 0
    """Inputs made dead letters because their key is, or just was, quarantined."""
    reemitted: int = 0
    """Outputs sent again because an earlier task may not have sent them."""
    groups: int = 0
    """Commit batches."""
    outputs: int = 0
    regrouped: int = 0
    """Commit batches decided anew, one input at a time, because a record was too large."""
    holes: int = 0
    """Requests to read an input again that was not delivered."""
    gaps: int = 0
    """Offsets at which there is no record: a foreign transaction's markers, or compacted ones."""
    ignored: int = 0
    """Changelog records that were left out of the table, for the engine did not write them."""
