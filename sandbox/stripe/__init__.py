"""A stand-in for Stripe: its API with test cards, webhooks, faults on request, and Stripe.js.

State is in memory. It differs from Stripe in what it says here: `us_bank_account` is offered in
every currency (so that a payment which settles later can be tried in any), fees are 0, there are
no customers, and a parameter that it does not implement is refused as an unknown one.
"""

from .server import StripeSandbox

__all__ = ["StripeSandbox"]
