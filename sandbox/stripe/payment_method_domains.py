"""Payment method domains: where wallets may be shown. Apple Pay's own check can be made to fail."""

from __future__ import annotations

import re

from sandbox.stripe.errors import invalid
from sandbox.stripe.params import EXPAND, PAGE, Params, boolean, fields, text
from sandbox.stripe.state import Resource, State, new_id, now

CREATE = fields(("domain_name",), domain_name=text, enabled=boolean, **EXPAND)
UPDATE = fields(enabled=boolean, **EXPAND)
LIST = fields(
    **{name: parser for name, parser in PAGE.items() if name != "created"},
    domain_name=text,
    enabled=boolean,
)
VALIDATE = fields(**EXPAND)

METHODS = ("amazon_pay", "apple_pay", "google_pay", "klarna", "link", "paypal")
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


def create(state: State, params: Params) -> Resource:
    """Register a domain; one that is registered is given again (what Stripe does then is not documented)."""
    name = params["domain_name"].lower()
    if not _DOMAIN.fullmatch(name):
        raise invalid(f"Invalid domain name: {name}", param="domain_name")
    for known in state.payment_method_domains.values():
        if known["domain_name"] == name:
            return known
    made: Resource = {
        "id": new_id("pmd_"),
        "object": "payment_method_domain",
        **{method: {"status": "active"} for method in METHODS},
        "created": now(),
        "domain_name": name,
        "enabled": params.get("enabled", True),
        "livemode": False,
    }
    state.payment_method_domains[made["id"]] = made
    return validate(state, made["id"], {})


def update(state: State, id_: str, params: Params) -> Resource:
    """Enable a domain, or disable it."""
    domain = state.get("payment_method_domain", id_)
    domain["enabled"] = params.get("enabled", domain["enabled"])
    return domain


def validate(state: State, id_: str, _params: Params) -> Resource:
    """Try again what was inactive."""
    domain = state.get("payment_method_domain", id_)
    for method in METHODS:
        wrong = state.domain_errors.get(method)
        domain[method] = (
            {"status": "inactive", "status_details": {"error_message": wrong}}
            if wrong
            else {"status": "active"}
        )
    return domain
