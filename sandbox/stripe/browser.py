"""What a customer's browser loads from Stripe: the script, the 3-D Secure page, the receipt.

The pages carry no script; they are framed, so the shop's Content-Security-Policy leaves their style alone.
"""

from __future__ import annotations

import html
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from sandbox.stripe import attempts
from sandbox.stripe.currencies import CHARGED_IN_HUNDREDS, THREE_DECIMAL, ZERO_DECIMAL
from sandbox.stripe.errors import StripeError
from sandbox.stripe.state import Resource, State

STATIC = Path(__file__).parent / "static"


def shown_amount(amount: int, currency: str) -> str:
    """Minor units as a person reads them: `25.00 USD`, `25000 UGX`."""
    places = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    if currency in CHARGED_IN_HUNDREDS and amount % 100 == 0:
        amount, places = amount // 100, 0
    whole, rest = divmod(amount, 10**places)
    return f"{whole}{f'.{rest:0{places}}' if places else ''} {currency.upper()}"


STYLE = """
body { margin: 0; padding: 1.25rem; font: 1rem/1.5 system-ui, sans-serif; color: #1c2530; background: #fff }
h1 { font-size: 1.25rem; margin: 0 0 .75rem }
p { margin: 0 0 1rem }
form { display: grid; gap: .6rem }
button { font: inherit; font-weight: 600; padding: .7rem 1rem; border-radius: .5rem; cursor: pointer;
  border: 1px solid #5b6b7d; background: #fff; color: #1c2530 }
button[value=succeed] { background: #0a5a8a; border-color: #0a5a8a; color: #fff }
dl { display: grid; grid-template-columns: auto 1fr; gap: .4rem 1.5rem; max-width: 32rem }
dt { color: #526070 }
dd { margin: 0; text-align: right }
"""


def _page(title: str, body: str, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        content_type="text/html",
        text=f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>",
    )


class BrowserSide:
    """The handlers of the pages and the script."""

    def __init__(self, state: State) -> None:
        self.state = state

    def routes(self) -> list[web.RouteDef]:
        """For aiohttp's router."""
        return [
            web.get("/v3/stripe.js", self.script),
            web.get("/v3/", self.script),
            web.get("/3ds/{id}", self.challenge),
            web.post("/3ds/{id}", self.answer_challenge),
            web.get("/receipts/{id}", self.receipt),
        ]

    async def script(self, _request: web.Request) -> web.StreamResponse:
        """The shim that stands in for Stripe.js."""
        return web.FileResponse(
            STATIC / "stripe.js",
            headers={
                "Content-Type": "text/javascript; charset=utf-8",
                "Access-Control-Allow-Origin": "*",
                "Cache-Control": "no-cache",
            },
        )

    async def challenge(self, request: web.Request) -> web.Response:
        """The page of the customer's bank: complete or fail the authentication."""
        try:
            intent = self.state.get("payment_intent", request.match_info["id"])
        except StripeError as error:
            return _page("3D Secure", f"<p>{html.escape(str(error))}</p>", error.status)
        if intent["status"] != "requires_action":
            return _page("3D Secure", "<p>There is nothing to authenticate.</p>")
        amount = html.escape(shown_amount(intent["amount"], intent["currency"]))
        method = self.state.get("payment_method", intent["payment_method"])
        if method["type"] != "card":
            return _page(
                f"{method['type'].capitalize()} test payment page",
                f"<p>Your bank asks you to authorize this payment of {amount}.</p>"
                '<form method="post">'
                '<button name="outcome" value="succeed">Authorize test payment</button> '
                '<button name="outcome" value="fail">Fail test payment</button></form>',
            )
        return _page(
            "3D Secure test page",
            f"<p>Your bank asks you to confirm this payment of {amount}.</p>"
            '<form method="post">'
            '<button name="outcome" value="succeed">Complete authentication</button> '
            '<button name="outcome" value="fail">Fail authentication</button></form>',
        )

    async def answer_challenge(self, request: web.Request) -> web.Response:
        """Act on the button, then return the customer to the shop if it named a return_url."""
        form = await request.post()
        id_ = request.match_info["id"]
        try:
            intent = attempts.authenticated(
                self.state, id_, succeeded=form.get("outcome") == "succeed"
            )
        except StripeError as error:
            return _page("3D Secure", f"<p>{html.escape(str(error))}</p>", error.status)
        return_url = self.state.return_urls.get(id_)
        if return_url:
            raise web.HTTPSeeOther(_returning(return_url, intent))
        return _page("3D Secure", "<p>Done. You can close this window.</p>")

    async def receipt(self, request: web.Request) -> web.Response:
        """What the customer paid, with which card, and what came back."""
        try:
            charge = self.state.get("charge", request.match_info["id"])
        except StripeError as error:
            return _page("Receipt", f"<p>{html.escape(str(error))}</p>", error.status)
        details = charge["payment_method_details"]
        method = details[details["type"]]
        name = method.get("brand") or method.get("bank_name") or details["type"]
        rows = {
            "Amount": shown_amount(charge["amount"], charge["currency"]),
            "Status": charge["status"],
            "Refunded": shown_amount(charge["amount_refunded"], charge["currency"]),
            "Paid with": f"{name} ending in {method.get('last4') or method['iban_last4']}",
            "Payment": charge["payment_intent"],
        }
        return _page(
            "Receipt",
            "<dl>"
            + "".join(f"<dt>{k}</dt><dd>{html.escape(str(v))}</dd>" for k, v in rows.items())
            + "</dl>",
        )


def _returning(return_url: str, intent: Resource) -> str:
    paid = intent["status"] in ("succeeded", "processing", "requires_capture")
    parts = urlsplit(return_url)
    query = [
        *parse_qsl(parts.query),
        ("payment_intent", intent["id"]),
        ("payment_intent_client_secret", intent["client_secret"]),
        ("redirect_status", "succeeded" if paid else "failed"),
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))
