"""The reference at /docs: routes, states, topics and codes, made of the tables that the code runs on."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from models.events import EVENTS
from models.graphs import DELIVERY_GRAPH, ORDER_GRAPH, PAYMENT_GRAPH, REFUND_GRAPH
from models.stuck import WAIT_RULES
from models.times import DAY_MS, HOUR_MS, MINUTE_MS
from web.asyncapi import first_paragraph, messages_of, wire_names
from web.http.context import CONTEXT, ORDERS
from web.http.problems import CODES
from web.pages.render import ROBOTS_TAG, policy, render
from web.routes import ROUTES

HEADERS: Final = {"Content-Security-Policy": policy(), "X-Robots-Tag": ROBOTS_TAG}
"""Of every answer with the page."""

GRAPHS: Final[Mapping[str, Mapping[Any, frozenset[Any]]]] = {
    "Payment": PAYMENT_GRAPH, "Order": ORDER_GRAPH, "Delivery": DELIVERY_GRAPH,
    "Refund": REFUND_GRAPH,
}  # fmt: skip


def render_reference(request: web.Request) -> web.Response:
    """All of it on one page, to be searched with the browser's own search."""
    partitions = request.app[CONTEXT].tables[ORDERS].partitions
    return render(
        request,
        "reference.html",
        routes=[(route, first_paragraph(route.run)) for route in ROUTES],
        graphs={name: _edges(graph) for name, graph in GRAPHS.items()},
        topics=[
            (use, use.topic.partitions or partitions, use.topic.retention)
            for use in request.app[CONTEXT].deps.topics
        ],
        messages_of=messages_of,
        events=[(kind, wire_names(spec.data), spec.topics) for kind, spec in EVENTS.items()],
        waits=WAIT_RULES,
        allowed=allowed,
        codes=CODES,
    )


def _edges(graph: Mapping[Any, frozenset[Any]]) -> list[tuple[str, list[str]]]:
    """State -> the states that may follow, as the graph has them."""
    return [(str(state or "(none)"), sorted(map(str, after))) for state, after in graph.items()]


def allowed(duration_ms: int) -> str:
    """A duration in the largest unit that it is a whole number of."""
    for unit, length_ms in (("d", DAY_MS), ("h", HOUR_MS), ("min", MINUTE_MS), ("s", 1000)):
        if duration_ms and duration_ms % length_ms == 0:
            return f"{duration_ms // length_ms} {unit}"
    return "at once"
