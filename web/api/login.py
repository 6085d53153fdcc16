"""The development login: staff tokens for anybody who asks, in the sandbox alone."""

from typing import Final, Literal, Self

from aiohttp import web
from pydantic import Field, model_validator

from models.messages import Message
from web.http.bodies import Body, read_json
from web.http.commands import json_response
from web.http.context import CONTEXT
from web.http.problems import ProblemError
from web.http.tokens import Role

DAY_S: Final = 24 * 3600


class LoginBody(Body):
    """Who somebody wants to be."""

    role: Literal["kitchen", "courier", "operator"] = Field(
        description="kitchen, courier or operator"
    )
    subject: str = Field(
        default="demo",
        pattern=r"^[A-Za-z0-9._-]{1,60}$",
        description="1 to 60 letters, digits, dots, dashes: who it is",
    )
    restaurant_id: str | None = Field(
        default=None, max_length=60, description="the id of a restaurant, for a kitchen alone"
    )

    @model_validator(mode="after")
    def _kitchen_has_restaurant(self) -> Self:
        if (self.role == "kitchen") != (self.restaurant_id is not None):
            raise ValueError("accepted: restaurantId with the role kitchen, and with no other")
        return self


class Login(Message):
    """token: to be sent as Authorization: Bearer; good for expiresInS."""

    token: str
    role: str
    subject: str
    restaurant_id: str | None = None
    expires_in_s: int = DAY_S


async def development_login(request: web.Request) -> web.Response:
    """A staff token for anybody; 404 wherever TIFFIN_DEV_LOGIN is not set."""
    deps = request.app[CONTEXT].deps
    if deps.development_login is None:
        raise ProblemError("NOT_FOUND")
    body = await read_json(request, LoginBody, deps.body_limit_bytes)
    restaurant_id = body.restaurant_id
    if restaurant_id is not None and restaurant_id not in deps.catalogue.restaurants:
        raise ProblemError("RESTAURANT_UNKNOWN")
    token = deps.development_login.issue(Role(body.role), body.subject, restaurant_id)
    return json_response(
        Login(token=token, role=body.role, subject=body.subject, restaurant_id=restaurant_id)
    )
