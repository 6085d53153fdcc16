"""A stand-in for Stripe: its API with test cards, webhooks, faults on request, and Stripe.js.

State is in memory. Where it differs from Stripe, on purpose:

- `us_bank_account` is offered in every currency, so that a payment which settles later can be
  tried in any; Stripe has it for USD.
- A parameter that Stripe knows and the stand-in does not is refused as an unknown one, with the
  list of those it takes. There are no customers.
- Fees are 0. Idempotency keys live as long as the process, or until the control API expires them.
- No rate limit of its own: a 429 comes from a fault.
"""

from sandbox.stripe.server import StripeSandbox

__all__ = ["StripeSandbox"]
