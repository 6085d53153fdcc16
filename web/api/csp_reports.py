"""Reports of browsers about what a page's Content-Security-Policy has blocked: counted, and kept nowhere.

Both forms are taken: `report-uri` (one report, CSP 2) and `report-to` (a list, the Reporting API). Anybody may
send them and write what they like into them, so nothing of them is logged, stored or made a label as it is.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from web.http.decoding import DecodingError, plain_json
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Call

PATH: Final = "/api/csp-reports"
MAX_BYTES: Final = 16_384
MAX_REPORTS: Final = 20
"""Of one body; browsers send those of a minute together."""
DIRECTIVES: Final = (
    "script-src", "style-src", "img-src", "font-src", "connect-src", "frame-src", "form-action",
    "base-uri", "frame-ancestors", "media-src", "manifest-src", "default-src",
)  # fmt: skip
"""Those of our policy; script-src-elem and script-src-attr are script-src's."""
OTHER: Final = "other"
LABELS: Final = (*DIRECTIVES, OTHER)
PAYMENT, ELSEWHERE = PAGES = ("payment", "elsewhere")
"""Where it was blocked: at the page that takes a card, or at any other."""

NEW_DIRECTIVES: Final[tuple[str, ...]] = ("effectiveDirective",)
OLD_DIRECTIVES: Final[tuple[str, ...]] = ("effective-directive", "violated-directive")


class Blocked(NamedTuple):
    """What is counted of a report: both from short lists."""

    directive: str
    page: str


async def report_blocked(call: Call[Params, bytes]) -> web.Response:
    """Count what a browser says that a page's policy has blocked."""
    try:
        sent = plain_json(call.body)
    except DecodingError as error:
        raise ProblemError("INVALID_JSON", f"body: {error}") from None
    for blocked, count in Counter(blocked_in(sent)).items():
        call.context.deps.csp_reported(*blocked, count)
    return web.Response(status=204)


def blocked_in(sent: Any) -> Iterator[Blocked]:
    """What a body says was blocked, `MAX_REPORTS` at most; nothing for what is no report."""
    reports = sent if isinstance(sent, list) else [sent]
    for report in reports[:MAX_REPORTS]:
        if not isinstance(report, dict):
            continue
        if report.get("type") == "csp-violation":
            body, directives, page = report.get("body"), NEW_DIRECTIVES, "documentURL"
        else:
            body, directives, page = report.get("csp-report"), OLD_DIRECTIVES, "document-uri"
        if isinstance(body, dict):
            named = next((body[name] for name in directives if name in body), None)
            yield Blocked(_directive(named), _page(body.get(page)))


def _directive(named: Any) -> str:
    words = named.split() if isinstance(named, str) else []
    name = words[0].removesuffix("-elem").removesuffix("-attr") if words else OTHER
    return name if name in DIRECTIVES else OTHER


def _page(address: Any) -> str:
    try:
        path = urlsplit(address).path if isinstance(address, str) else ""
    except ValueError:
        path = ""
    return PAYMENT if path.startswith("/orders/") and path.endswith("/pay") else ELSEWHERE
