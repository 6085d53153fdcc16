"""The development login: staff tokens for anybody who asks, in the sandbox alone."""

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from web.http.api_model import ApiModel
from web.http.bodies import Body
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Access, AnyCall, Call
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


class Login(ApiModel):
    """token: to be sent as Authorization: Bearer; good for expiresInS."""

    token: str
    role: str
    subject: str
    restaurant_id: str | None = None
    expires_in_s: int = DAY_S


async def _login_is_set(call: AnyCall) -> None:
    if call.context.deps.development_login is None:
        raise ProblemError("NOT_FOUND")


SANDBOX: Final = Access(text="public", check=_login_is_set)
"""Anybody, where anybody may have a staff token; elsewhere there is nothing."""


def development_login(call: Call[Params, LoginBody]) -> Login:
    """A staff token for anybody; 404 wherever TIFFIN_DEV_LOGIN is not set."""
    deps, body = call.context.deps, call.body
    assert deps.development_login is not None, "access has seen to it"
    restaurant_id = body.restaurant_id
    if restaurant_id is not None and restaurant_id not in deps.catalogue.restaurants:
        raise ProblemError("RESTAURANT_UNKNOWN")
    token = deps.development_login.issue(Role(body.role), body.subject, restaurant_id)
    return Login(token=token, role=body.role, subject=body.subject, restaurant_id=restaurant_id)
