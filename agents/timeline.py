"""The timeline service: one ordered history of an order over all topics that are kept for ever."""

from functools import partial

from agents.dictionaries import dictionaries_of
from agents.service import GATHERED_S, Service, events
from models import topics
from models.events import Event
from models.retention import DEFAULT_RETENTION, Retention, retained_timeline
from models.timeline import Timeline, add_event, entries_of, row_of
from models.transition import Decision, IndexData, Input, ReadRow


def decide(state: Timeline | int, record: Input, _read: ReadRow) -> Decision:
    """Add the event to the order's history.

    A number is the state of earlier versions: so many events are in rows.
    """
    event: Event = record.message
    timeline = Timeline(rows=state) if isinstance(state, int) else state
    timeline, rows = add_event(timeline, record.key, row_of(record.topic, event))
    return Decision(timeline, rows=rows)


def index_of(state: Timeline | int) -> IndexData:
    """An order by the ids of its events, and of what they name."""
    return IndexData(entries_of(state) if isinstance(state, Timeline) else ())


def timeline_service(retention: Retention = DEFAULT_RETENTION) -> Service[Timeline | int]:
    """The service; retention: for how long orders are found by the ids of their events."""
    return Service(
        name="timeline",
        about="Keeps one ordered history of each order over all topics that are kept for ever.",
        inputs=dict.fromkeys(
            (
                topics.PAYMENT_EVENTS,
                topics.ORDER_EVENTS,
                topics.DELIVERY_EVENTS,
                topics.ORDER_AUDIT,
            ),
            events,
        ),
        state=Timeline | int,
        initial=0,
        decide=decide,
        has_ended=lambda state: isinstance(state, Timeline) and state.has_ended,
        index_of=index_of,
        retain_by=partial(retained_timeline, retention=retention),
        retention=str(retention.details_ms),
        dictionaries=dictionaries_of("timeline"),
        gather_s=GATHERED_S,
    )
