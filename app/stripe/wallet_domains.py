"""Registers the shop's domain at Stripe, without which no wallet is shown there.

Source: https://docs.stripe.com/payments/payment-methods/pmd-registration
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.stripe.account import AccountClient
from app.stripe.check import Check, CheckState

PATH: Final = "/v1/payment_method_domains"
WALLETS: Final[Mapping[str, str]] = {
    "apple_pay": "Apple Pay", "google_pay": "Google Pay", "link": "Link",
}  # fmt: skip
"""Stripe's name of a wallet -> its own."""


@dataclass(frozen=True, slots=True)
class RegisteredDomain:
    """A domain as Stripe has it. done: what had to be done for it, "" when it was there already."""

    name: str
    id: str
    done: str
    wallets: tuple[Check, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every wallet is shown on it."""
        return all(each.state is CheckState.OK for each in self.wallets)


async def register_domain(client: AccountClient, name: str) -> RegisteredDomain:
    """Register, enable and validate a domain, as far as that is not done. Raises as `client` does."""
    known = (await client.get(PATH, domain_name=name)).listed
    domain: Mapping[str, Any] = known[0] if known else {}
    done = ""
    if not known:
        domain, done = (await client.post(PATH, domain_name=name)).data, "registered"
    elif not domain["enabled"]:
        domain, done = (await client.post(f"{PATH}/{domain['id']}", enabled="true")).data, "enabled"
    if not all(_is_active(domain, wallet) for wallet in WALLETS):
        domain = (await client.post(f"{PATH}/{domain['id']}/validate")).data
        done = f"{done}, validated" if done else "validated"
    return RegisteredDomain(
        name, domain["id"], done, tuple(_wallet_check(domain, each) for each in WALLETS)
    )


def _is_active(domain: Mapping[str, Any], wallet: str) -> bool:
    return bool((domain.get(wallet) or {}).get("status") == "active")


def _wallet_check(domain: Mapping[str, Any], wallet: str) -> Check:
    if _is_active(domain, wallet):
        return Check(WALLETS[wallet], CheckState.OK, f"is shown on {domain['domain_name']}")
    details = (domain.get(wallet) or {}).get("status_details") or {}
    why = details.get("error_message") or "Stripe does not say why"
    return Check(
        WALLETS[wallet], CheckState.WRONG, f"is not shown on {domain['domain_name']}: {why}",
        "correct that and run this again; the domain must be reached by HTTPS from the Internet",
    )  # fmt: skip
