"""Every metric as a row: collectors take name, help and labels from here, and docs/metrics.md is made of it.

Names follow https://prometheus.io/docs/practices/naming/: a unit at the end, `_total` for what only rises.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """Prometheus' types of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Spec(NamedTuple):
    """One metric. about: its help text. labels: their names. buckets: upper bounds, of a histogram."""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


FAST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds that a machine takes."""
SLOW_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds that a person, a bank or a network that is down takes."""
INPUTS: Final = (
    1.0,
    2.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
)


def _counter(name: str, about: str, labels: str = "") -> Spec:
    return Spec(name, Kind.COUNTER, about, tuple(labels.split()))


def _gauge(name: str, about: str, labels: str = "") -> Spec:
    return Spec(name, Kind.GAUGE, about, tuple(labels.split()))


def _histogram(name: str, buckets: tuple[float, ...], about: str, labels: str = "") -> Spec:
    return Spec(name, Kind.HISTOGRAM, about, tuple(labels.split()), buckets)


SECTIONS: Final[dict[str, tuple[Spec, ...]]] = {
    "Worker": (
        _gauge("tiffin_ready", "1 when this worker serves its partitions and its clock is right"),
        _gauge("tiffin_recovery_rows_left", "Rows of changelogs that this worker's tables still lack"),
        _gauge("tiffin_clock_offset_seconds", "How far this worker's clock is ahead of Kafka's"),
        _gauge("tiffin_clock_error_seconds", "How wrong the reading of Kafka's clock may be"),
        _gauge("tiffin_clock_brokers_differ_seconds",
            "How far the brokers' clocks are apart at least"),
    ),
    "HTTP": (
        _histogram("tiffin_http_request_duration_seconds", FAST_S,
            "Time from a request's head to the end of its answer", "method route status"),
        _counter("tiffin_csp_reports_total",
            "What pages' Content-Security-Policy has blocked, as browsers report it", "directive page"),
        _counter("tiffin_admission_total",
            "New orders and confirms that were taken on, or refused under load", "work result"),
        _gauge("tiffin_admission_refused_share", "Share of this work that is refused now", "work"),
        _gauge("tiffin_admission_delay_seconds",
            "How long commands wait in this worker's queues until they are decided and durable"),
    ),
    "Engine": (
        _gauge("tiffin_consumer_lag",
            "Inputs that Kafka has and whose state and outputs are not durable yet",
            "service topic partition"),
        _gauge("tiffin_input_done_offset", "Last offset whose state and outputs are durable",
            "service topic partition"),
        _gauge("tiffin_inputs_waiting", "Inputs fetched and not yet durable", "service partition"),
        _gauge("tiffin_stopped_partitions",
            "Partitions that are read no further until an operator skips a record",
            "topic partition service"),
        _gauge("tiffin_broken_records", "Stored records that were met and can't be read", "service"),
        _histogram("tiffin_input_state_durable_seconds", FAST_S,
            "From Kafka's time of a commit batch's first input until its state is durable", "service"),
        _histogram("tiffin_input_outputs_durable_seconds", FAST_S,
            "From Kafka's time of a commit batch's first input until its outputs are durable",
            "service"),
        _histogram("tiffin_commit_batch_inputs", INPUTS, "Inputs of a commit batch", "service"),
        _histogram("tiffin_commit_batch_step_duration_seconds", FAST_S,
            "Time that a step of a commit batch took", "service step"),
        _counter("tiffin_engine_inputs_total",
            "Inputs whose state and outputs are durable, dropped and dead-lettered ones included",
            "service"),
        _counter("tiffin_engine_decided_total", "Inputs that were decided", "service"),
        _counter("tiffin_engine_redelivered_total",
            "Inputs dropped by their offset: they were decided before", "service"),
        _counter("tiffin_engine_duplicates_total",
            "Inputs dropped by sequence or id: their sender sent them again", "service"),
        _counter("tiffin_engine_unreadable_total", "Inputs that can't be read: dead letters",
            "service"),
        _counter("tiffin_engine_odd_times_total",
            "Inputs whose producer gave an impossible time", "service"),
        _counter("tiffin_engine_quarantined_total",
            "Inputs made dead letters because their order is, or just was, quarantined", "service"),
        _counter("tiffin_engine_reemitted_total",
            "Outputs sent again because an earlier task may not have sent them", "service"),
        _counter("tiffin_engine_commit_batches_total", "Commit batches", "service"),
        _counter("tiffin_engine_outputs_total", "Outputs that were sent", "service"),
        _counter("tiffin_engine_retained_total",
            "Ended records written anew without what is kept for a time only", "service"),
        _counter("tiffin_engine_regrouped_total",
            "Commit batches decided anew, one input at a time, because a record was too large",
            "service"),
        _counter("tiffin_engine_delivery_gaps_total",
            "Requests to read an input again that was not delivered", "service"),
        _counter("tiffin_engine_empty_offsets_total",
            "Offsets without a record: a foreign transaction's markers, or compacted ones", "service"),
        _counter("tiffin_engine_ignored_total",
            "Changelog records left out of the table, for the engine did not write them", "service"),
    ),
    "Orders": (
        _histogram("tiffin_payment_completion_seconds", SLOW_S,
            "From PAYMENT_INITIATED to PAYMENT_COMPLETED, the customer's time included"),
        _histogram("tiffin_order_creation_seconds", FAST_S,
            "From PAYMENT_COMPLETED to ORDER_CREATED"),
        _gauge("tiffin_stuck", "What waits longer than it should, and who must act",
            "subject actor"),
        _gauge("tiffin_dead_letters", "Dead letters by state", "state"),
        _gauge("tiffin_dead_letter_batches_unread",
            "Batches of the dead-letter topic that can't be read"),
        _gauge("tiffin_timers_pending", "Deadlines that orders have", "kind"),
        _gauge("tiffin_timers_due", "Deadlines that have passed and still stand", "kind"),
        _counter("tiffin_timers_fired_total", "Deadlines that orders were asked to check", "kind"),
        _counter("tiffin_timers_repeated_total", "Times that orders had to be asked again", "kind"),
        _histogram("tiffin_timers_lateness_seconds", SLOW_S,
            "From a deadline's time until orders were asked to check it, the first time", "kind"),
        _gauge("tiffin_notifications",
            "Messages to customers that have not ended: to be sent, held back, or for an operator",
            "state"),
        _counter("tiffin_notification_tries_total", "How tries to send ended", "channel result"),
    ),
    "Stripe": (
        _histogram("tiffin_stripe_request_duration_seconds", SLOW_S,
            "Time that a request to Stripe took, without its wait for its turn", "operation outcome"),
        _gauge("tiffin_effects_pending", "Writes to Stripe that have not ended", "kind"),
        _gauge("tiffin_effect_oldest_seconds",
            "For how long the oldest write to Stripe that has not ended has been wanted", "kind"),
        _histogram("tiffin_effect_duration_seconds", SLOW_S,
            "From when a write to Stripe was stored until its result was reported", "kind result"),
        _counter("tiffin_effect_results_total", "How writes to Stripe ended", "kind result"),
        _counter("tiffin_effect_errors_total", "Calls of Stripe that had to be tried again",
            "error"),
        _counter("tiffin_stripe_events_total",
            "Events of Stripe's that came, by what was done with them", "type result"),
        _histogram("tiffin_webhook_delay_seconds", SLOW_S,
            "From when Stripe made an event until its webhook was taken in here", "type"),
        _gauge("tiffin_stripe_check",
            "1 for the state in which each check of the Stripe account is", "check state"),
        _gauge("tiffin_payments_watched", "Payments under way, whose news are waited for"),
    ),
    "Money": (
        _gauge("tiffin_money_minor_units", "Money of all payments, in minor units", "currency what"),
        _gauge("tiffin_money_invariant_broken",
            "Orders of which an invariant of the money does not hold", "code"),
        _gauge("tiffin_refunds", "Refunds by state", "state"),
        _gauge("tiffin_refunds_waiting_for_operator", "Orders whose refund failed"),
        _gauge("tiffin_disputes_open", "Disputes that the bank has not decided"),
        _gauge("tiffin_dispute_evidence_due_timestamp_seconds",
            "When the evidence of the next open dispute is due, since the epoch; absent without one"),
        _counter("tiffin_reconciliation_runs_total", "Runs of the reconciliation"),
        _counter("tiffin_reconciliation_errors_total", "Runs of the reconciliation that failed"),
        _counter("tiffin_reconciliation_applied_total",
            "Events of Stripe's whose webhook never came, applied by the reconciliation"),
        _counter("tiffin_reconciliation_orphans_total",
            "Payment intents of no payment that the reconciliation cancelled"),
        _gauge("tiffin_reconciliation_run_timestamp_seconds",
            "When the reconciliation last ran, since the epoch; at the worker that runs it"),
        _gauge("tiffin_reconciliation_cursor_timestamp_seconds",
            "Up to when all of Stripe's events are in Kafka, since the epoch; likewise"),
        _gauge("tiffin_reconciliation_differences",
            "Objects whose money differs from Stripe's; likewise"),
    ),
}  # fmt: skip

METRICS: Final = {spec.name: spec for specs in SECTIONS.values() for spec in specs}
"""By name."""
