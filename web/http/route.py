"""A route as data: what the dispatcher enforces for it, and what OpenAPI, /docs and tests are made of.

dispatch.py says in which order; each row of web/routes.py and of the pages is one `Route`.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, NamedTuple, TypeVar

from aiohttp import web
from pydantic import BaseModel
from pydantic.alias_generators import to_snake

from web.http import auth
from web.http.bodies import Body
from web.http.context import CONTEXT, ORDERS, Context
from web.http.params import Params
from web.http.rate_limits import RequestKind
from web.http.tokens import Identity, Role

P = TypeVar("P", bound=Params)
B = TypeVar("B")


class Key(Enum):
    """Whether a request has an Idempotency-Key; OPTIONAL: its command makes one if it has none."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Owner(NamedTuple):
    """Who answers a request: the worker that owns a key (text) or a partition (number) of a service.

    max_hops: how often the request may have been forwarded before.
    """

    service: str
    key: str | int
    max_hops: int = 1


@dataclass(frozen=True, slots=True)
class Form:
    """A page's form as the body. to: the kind that `value_of` makes a JSON value of, from the fields.

    Without them the body is the fields themselves, a Mapping[str, str].
    """

    to: type[Body] | None = None
    value_of: Callable[["AnyCall", dict[str, str]], Any] = lambda _, fields: fields


@dataclass(frozen=True, slots=True)
class RawBody:
    """The body as bytes, of any content type, at most so many."""

    limit_bytes: int


@dataclass(slots=True)
class Call(Generic[P, B]):
    """One request, as far as its row has been enforced: what `Route.run` and a renderer are given.

    request: for headers, cookies and renderers; ids, query and body are read by then. order_id: the
    path's, "" where it names none. key: the Idempotency-Key, "" without one. subject: what
    `Route.resolve` gave. who: None where access asks for no token.
    """

    context: Context
    request: web.Request
    route: "Route"
    order_id: str = ""
    key: str = ""
    who: Identity | None = None
    subject: Any = None
    fields: Mapping[str, str] = field(default_factory=dict)
    params: P = field(init=False)
    body: B = field(init=False)

    @property
    def identity(self) -> Identity:
        """Who asks, where access asks for a token."""
        assert self.who is not None, "the row's access asks for a token"
        return self.who

    def id_of(self, name: str) -> str:
        """An id of the path."""
        return self.request.match_info[name]


AnyCall = Call[Any, Any]
Renderer = Callable[[AnyCall, Any], web.StreamResponse]


async def _nobody(_: AnyCall) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may send a request.

    text: for people. roles: those accepted; none where it takes no order's or staff's token.
    check: gives who asks. check_body: asked after `check`, once the body has been read, where the body
    names the order. Both raise ProblemError (401, 403) and UnavailableError.
    """

    text: str
    roles: tuple[Role, ...] = ()
    check: Callable[[AnyCall], Awaitable[Identity | None]] = _nobody
    check_body: Callable[[AnyCall], Awaitable[Identity]] | None = None


PUBLIC: Final = Access(text="public")


def staff(*roles: Role) -> Access:
    """Staff of these roles, about more than one order."""

    async def check(call: AnyCall) -> Identity:
        return await auth.authorize_staff(call.request, call.context.deps, *roles)

    return Access(text=" or ".join(roles), roles=roles, check=check)


def of_order(*roles: Role) -> Access:
    """These roles, about the order in the path; the customer's token must be of that order."""

    async def check(call: AnyCall) -> Identity:
        return await auth.authorize(call.request, call.context.deps, call.order_id, *roles)

    return Access(text=" or ".join(roles), roles=roles, check=check)


def of_order_in_body(*roles: Role) -> Access:
    """As `of_order`, of the body's `order_id`; before the body is read any token of ours will do."""

    async def check(call: AnyCall) -> None:
        await auth.require_any_token(call.request, call.context.deps)

    async def check_body(call: AnyCall) -> Identity:
        call.order_id = call.body.order_id
        return await auth.authorize(call.request, call.context.deps, call.order_id, *roles)

    return Access(text=" or ".join(roles), roles=roles, check=check, check_body=check_body)


def owner_of_order(call: AnyCall) -> Owner:
    """The worker that owns the call's order."""
    return Owner(ORDERS, call.order_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route.

    run: what it does; see dispatch.py for what it may give. Its name is the operationId.
    access, key, params, body, body_may_be_empty: what the request must have. key_param: a parameter of
        the query that may hold the key, for forms, which can't send headers.
    resolve: finds what the request is about before it is forwarded, as `Call.subject`.
    owner: which worker answers; None, or giving None: the one that is asked.
    waits_for: services whose records must hold what the request's consistency token names.
    order_must_exist: 404 for an unknown order, and 403 for a kitchen that asks for another's.
    answer, status: of a success, as JSON. renderer: makes the answer; `answers.json_answer` by default.
    html: name of the renderer in HTML_RENDERERS that people get (Accept or ?format=html), "" without.
    rescue: answers what was raised once access is known: ProblemError, UnavailableError, NotOwnerError,
        NotReadyError; may raise it again.
    is_page: problems are shown as a page. drops_empty: a form's empty parameters are redirected away.
    is_probe: asked again and again by machines: not counted, and logged at debug level alone.
    counted_as: for the limits of clients; None: by the method. BAD_WEBHOOK: `run` counts it.
    checks_origin: a POST that a foreign page makes a browser send is refused.
    """

    method: str
    path: str
    run: Callable[[AnyCall], Any]
    access: Access
    key: Key = Key.NONE
    key_param: str = ""
    params: type[Params] = Params
    body: type[Body] | Form | RawBody | None = None
    body_may_be_empty: bool = False
    resolve: Callable[[AnyCall], Awaitable[Any]] | None = None
    owner: Callable[[AnyCall], Owner | None] | None = None
    waits_for: tuple[str, ...] = ()
    order_must_exist: bool = False
    answer: type[BaseModel] | None = None
    status: int = 200
    renderer: Renderer | None = None
    html: str = ""
    rescue: Callable[[AnyCall, Exception], Awaitable[web.StreamResponse]] | None = None
    is_page: bool = False
    drops_empty: bool = False
    is_probe: bool = False
    counted_as: RequestKind | None = None
    checks_origin: bool = True

    @property
    def operation_id(self) -> str:
        """Its name in OpenAPI."""
        return to_snake(self.run.__name__)


HTML_RENDERERS: Final = web.AppKey("html renderers", dict[str, Renderer])
"""Renderers of pages for routes of the API, by `Route.html`."""


def route_of(request: web.Request) -> Route | None:
    """The row that a request was routed to; None for a path or method that has none."""
    handler = request.match_info.handler
    found = handler.args[0] if isinstance(handler, functools.partial) else None
    return found if isinstance(found, Route) else None


def context_of(request: web.Request) -> Context:
    """The application's context."""
    return request.app[CONTEXT]
