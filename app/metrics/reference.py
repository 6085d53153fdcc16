"""`python -m app.metrics.reference >docs/metrics.md`: every metric, from the catalogue that workers go by."""

from collections.abc import Iterator
from typing import Final

from app.metrics.catalogue import SECTIONS, Kind

COMMAND: Final = ".venv/bin/python -m app.metrics.reference >docs/metrics.md"
HEAD: Final = """\
# Metrics

What `GET /metrics` of each worker tells Prometheus, of that worker and the partitions that it owns: sum
over workers, but take the greatest of `tiffin_dead_letters`, which every worker knows all of. Made from
[app/metrics/catalogue.py](../app/metrics/catalogue.py) by
`{command}`; beside these there are `process_*` and
`python_info` of Prometheus' own client.

Times are seconds, money is minor units of its currency, and labels have few values: routes by their
template, requests to Stripe by what they do, never an id. Who accepts OpenMetrics gets it, with exemplars
(ids of traces) on HTTP requests where [traces](tracing.md) are on. `TIFFIN_METRICS_TOKEN` keeps them from
others.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([HEAD.format(command=COMMAND), *_sections()])


def _sections() -> Iterator[str]:
    for title, specs in SECTIONS.items():
        yield f"## {title}\n\n| metric | type | labels | what it tells |\n|---|---|---|---|"
        for spec in specs:
            labels = ", ".join(f"`{name}`" for name in spec.labels)
            bounds = ""
            if spec.kind is Kind.HISTOGRAM:
                bounds = f". Buckets: {', '.join(f'{bound:g}' for bound in spec.buckets)}"
            yield f"| `{spec.name}` | {spec.kind} | {labels} | {spec.about}{bounds} |"
        yield ""


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 -- what it is for
