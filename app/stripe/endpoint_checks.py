"""Checks of the webhook endpoint: its URL, the types that it sends, and their API version."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from app.stripe.check import Check, CheckState, ExpectedAccount
from models.stripe_events import APPLIED_EVENT_TYPES, ENDPOINT_EVENT_TYPES

WEBHOOK_PATH: Final = "/webhooks/stripe"


def endpoint_check(
    endpoints: Sequence[Mapping[str, Any]], expected: ExpectedAccount
) -> tuple[Check, Sequence[Mapping[str, Any]]]:
    """The check of the endpoint's URL, and the enabled endpoints that are ours."""
    url = expected.webhook_url
    ours = [
        each
        for each in endpoints
        if (each["url"] == url if url else urlsplit(each["url"]).path == WEBHOOK_PATH)
    ]
    enabled = [each for each in ours if each["status"] == "enabled"]
    if ours and not enabled:
        return Check("endpoint", CheckState.WRONG, f"{ours[0]['id']} is disabled",
                     "enable it in Stripe's Dashboard, Developers, Webhooks"), ()  # fmt: skip
    if enabled and not url:
        state = CheckState.OK if expected.is_sandbox else CheckState.WARNING
        return Check(
            "endpoint", state, f"{enabled[0]['id']} sends to {_host(enabled[0])}",
            "" if expected.is_sandbox else "set TIFFIN_PUBLIC_URL, so that it can be told whether that "
            "is this platform",
        ), enabled  # fmt: skip
    if len(enabled) > 1:
        names = ", ".join(each["id"] for each in enabled)
        return Check("endpoint", CheckState.WARNING, f"several send to {url}: {names}",
                     "delete all but one: each event comes once for each"), enabled  # fmt: skip
    if enabled:
        return Check("endpoint", CheckState.OK, f"{enabled[0]['id']} sends to {url}"), enabled
    others = ", ".join(map(_host, endpoints[:3])) or "none"
    where = f"{url or WEBHOOK_PATH} (endpoints are at: {others})"
    if expected.livemode:
        todo = "make one, with the types and the API version that docs/stripe.md names"
        return Check("endpoint", CheckState.WRONG, f"no endpoint sends to {where}", todo), ()
    todo = "run `stripe listen --forward-to ...`, or make one (docs/stripe.md)"
    return Check("endpoint", CheckState.WARNING, f"no endpoint sends to {where}", todo), ()


def _host(endpoint: Mapping[str, Any]) -> str:
    """No more of its URL: the rest of another's may be a secret."""
    return urlsplit(endpoint["url"]).hostname or "?"


def types_check(endpoints: Sequence[Mapping[str, Any]]) -> Check:
    """Whether the endpoints, at least one, are together subscribed to all that is used."""
    subscribed = {kind for each in endpoints for kind in each["enabled_events"]}
    missing = [] if "*" in subscribed else [t for t in ENDPOINT_EVENT_TYPES if t not in subscribed]
    if not missing:
        return Check("types", CheckState.OK, f"all {len(ENDPOINT_EVENT_TYPES)} types are sent")
    is_wrong = set(missing) & set(APPLIED_EVENT_TYPES)
    state = CheckState.WRONG if is_wrong else CheckState.WARNING
    return Check("types", state, f"not sent: {', '.join(missing)}",
                 f"add them to {endpoints[0]['id']} (docs/stripe-events.md says what each is for)")  # fmt: skip


def version_check(sent: str | None, ours: str, listed: str | None = None) -> Check:
    """Whether an endpoint sends the API version of the SDK, and events that are looked up later have it too.

    listed: the account's own version, of events in lists; None where there is none. Versions with one release
    name (`2026-10-28.endive`) differ in additions alone. Source: https://docs.stripe.com/api/versioning
    """
    sent = sent or listed
    if sent is None:
        return Check("version", CheckState.UNKNOWN,
                     "the endpoint has the account's own version, and no event tells which that is",
                     f"make the endpoint with api_version={ours}")  # fmt: skip
    told = f"the endpoint sends {sent}, the SDK has {ours}"
    if not _is_one_release(sent, ours):
        return Check(
            "version", CheckState.WRONG, told,
            f"make an endpoint with api_version={ours}, add its secret to TIFFIN_STRIPE_WEBHOOK_SECRETS, "
            "then delete this one (an endpoint keeps its version)",
        )  # fmt: skip
    if listed and not _is_one_release(listed, ours):
        return Check(
            "version", CheckState.WARNING, f"{told}; lists of events, by which lost webhooks are found, have "
            f"{listed}", "upgrade the account's API version in Stripe's Workbench",
        )  # fmt: skip
    return Check("version", CheckState.OK, told)


def _is_one_release(one: str, other: str) -> bool:
    name = one.partition(".")[2]
    return one == other or bool(name and name == other.partition(".")[2])
