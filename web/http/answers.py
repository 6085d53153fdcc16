"""Results as JSON answers, and amounts in them."""

import functools
from typing import Any, Final, Literal, Self

from aiohttp import web
from pydantic import BaseModel

from models.money import decimal_text
from web.http.api_model import ApiModel
from web.http.consistency import HEADER
from web.http.route import AnyCall

POLL_AFTER_S: Final = 2
"""When to ask again after a 202."""


class Money(ApiModel):
    """amount: minor units. display: 2500.00."""

    amount: int
    currency: str
    display: str

    @classmethod
    @functools.lru_cache(4096)
    def of(cls, amount: int, currency: str) -> Self:
        """Minor units of a currency."""
        return cls(amount=amount, currency=currency, display=decimal_text(amount, currency))


class Accepted(ApiModel):
    """It is durable and under way: look at the order, or send the same request with the same key."""

    order_id: str
    status: Literal["ACCEPTED"] = "ACCEPTED"
    detail: str = "It is under way. Look at the order, or send the same with the same key."
    payment_id: str | None = None
    order_token: str | None = None


def as_json(result: BaseModel) -> Any:
    """A result as JSON values, named as on the wire; absent values are left out."""
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


def json_body(result: BaseModel) -> bytes:
    """A result as the body of an answer."""
    return result.model_dump_json(by_alias=True, exclude_none=True).encode()


def json_response(result: BaseModel, status: int = 200, **headers: str) -> web.Response:
    """A result as an answer of the API."""
    body = json_body(result)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def json_answer(call: AnyCall, result: BaseModel) -> web.Response:
    """The renderer of the API: a command's answer has its consistency token as a header, too.

    202 for `Accepted`, with where to look; the same key may be sent again.
    """
    if isinstance(result, Accepted):
        location = {"Location": f"/api/orders/{result.order_id}", "Retry-After": str(POLL_AFTER_S)}
        return json_response(result, 202, **location)
    response = json_response(result, call.route.status)
    token = getattr(result, "consistency_token", None)
    if token is not None:
        response.headers[HEADER] = token
    return response
