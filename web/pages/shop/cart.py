"""The cart: a cookie, so that it survives a reload, is one in all tabs and needs no JavaScript.

The cookie holds ids and numbers alone; prices come from the catalogue whenever it is shown. Its key is
the Idempotency-Key of the order that it becomes: a new one with every change of the cart, so that the
same cart sent twice, from two tabs or after a lost answer, is one order, and a changed cart another.
"""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from aiohttp import web

from models import ids, money
from web.api.schemas import MAX_CART_LINES, MAX_QUANTITY
from web.catalogue import Catalogue, Dish, Restaurant
from web.http import auth
from web.http.context import CONTEXT
from web.http.decoding import base64_json
from web.http.deps import WebDeps
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.languages import gettext
from web.pages.formats import money_text
from web.pages.render import render

COOKIE: Final = "tiffin_cart"
COOKIE_MAX_AGE_S: Final = 14 * 24 * 3600
MAX_COOKIE_CHARS: Final = 3500


@dataclass(frozen=True, slots=True)
class Cart:
    """What a browser is about to order.

    quantities: by dish id, in the order they were added. order_id: what the cart has become, until it
    is paid.
    """

    restaurant_id: str = ""
    quantities: Mapping[str, int] = field(default_factory=dict)
    key: str = ""
    order_id: str = ""

    @property
    def count(self) -> int:
        """Portions in all."""
        return sum(self.quantities.values())

    def changed(self, restaurant_id: str, dish_id: str, by: int) -> "Cart":
        """With more or less of a dish; of another restaurant it begins anew. A new key each time."""
        same = restaurant_id == self.restaurant_id
        quantities = dict(self.quantities) if same else {}
        wanted = min(quantities.get(dish_id, 0) + by, MAX_QUANTITY)
        quantities[dish_id] = wanted
        if wanted <= 0:
            del quantities[dish_id]
        return Cart(restaurant_id if quantities else "", quantities, str(uuid.uuid4()))

    def renewed(self) -> "Cart":
        """The same dishes as another order."""
        return replace(self, key=str(uuid.uuid4()), order_id="")

    def text(self) -> str:
        """As the cookie has it."""
        packed = orjson.dumps(
            {"r": self.restaurant_id, "i": dict(self.quantities), "k": self.key, "o": self.order_id}
        )
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Line:
    """One dish of the cart with its price; amounts in minor units."""

    dish: Dish
    quantity: int

    @property
    def total(self) -> int:
        """Minor units."""
        return self.dish.price * self.quantity


@dataclass(frozen=True, slots=True)
class PricedCart:
    """The cart at the catalogue's prices; restaurant is None when it is empty.

    least: what an order may come to at least, in minor units.
    """

    cart: Cart = field(default_factory=Cart)
    restaurant: Restaurant | None = None
    lines: tuple[Line, ...] = ()
    least: int = 0

    @property
    def total(self) -> int:
        """Minor units."""
        return sum(line.total for line in self.lines)

    @property
    def refusal(self) -> str:
        """Why a cart of this sum can't be ordered, in the page's words; "" when it can."""
        if self.restaurant is None:
            return ""
        currency = self.restaurant.currency
        rules = money.rules_of(currency)
        if self.total < self.least:
            missing = money_text(self.least - self.total, currency)
            begin = money_text(self.least, currency)
            return gettext(
                "The minimum order is {begin}: add {missing} more.", begin=begin, missing=missing
            )
        if self.total > rules.maximum:
            most = money_text(rules.maximum, currency)
            excess = money_text(self.total - rules.maximum, currency)
            return gettext(
                "The most you can order at once is {most}: remove {excess}.",
                most=most,
                excess=excess,
            )
        return ""

    @property
    def fingerprint(self) -> str:
        """Differs whenever what is ordered, or what it costs, does."""
        rows = [(line.dish.id, line.quantity, line.dish.price) for line in self.lines]
        return ids.derive_id("cart", f"{self.cart.restaurant_id}{rows}")

    def items(self) -> list[dict[str, Any]]:
        """As create-intent takes them."""
        return [{"dishId": line.dish.id, "quantity": line.quantity} for line in self.lines]


def cart_of(request: web.Request) -> Cart:
    """The cart that the cookie holds; an empty one for a cookie that can't be read."""
    text = request.cookies.get(COOKIE, "")
    try:
        if not text:
            return Cart()
        packed = base64_json(text, MAX_COOKIE_CHARS)
        quantities = {
            str(dish): count
            for dish, count in packed["i"].items()
            if isinstance(count, int) and 0 < count <= MAX_QUANTITY
        }
        order_id = packed["o"] if ids.is_order_id(packed["o"]) else ""
        key = str(uuid.UUID(packed["k"]))
        return Cart(str(packed["r"]), quantities, key, order_id) if quantities else Cart()
    except (ValueError, KeyError, TypeError, AttributeError):
        return Cart()


def priced_cart(request: web.Request) -> PricedCart:
    """The cart with prices; dishes that are off the menu by now are left out."""
    return with_prices(request.app[CONTEXT].deps.catalogue, cart_of(request))


def with_prices(catalogue: Catalogue, cart: Cart) -> PricedCart:
    """A cart with prices."""
    restaurant = catalogue.restaurants.get(cart.restaurant_id)
    dishes = restaurant.by_id if restaurant else {}
    lines = tuple(
        Line(dishes[name], count) for name, count in cart.quantities.items() if name in dishes
    )
    if restaurant is None or not lines:
        return PricedCart()
    return PricedCart(cart, restaurant, lines, catalogue.minimum_charge(restaurant.currency))


def keep_cart(response: web.StreamResponse, deps: WebDeps, cart: Cart) -> None:
    """Set the cookie, or take it when the cart is empty."""
    if not cart.quantities:
        response.del_cookie(COOKIE, path="/")
        return
    response.set_cookie(
        COOKIE, cart.text(), max_age=COOKIE_MAX_AGE_S, path="/", httponly=True, samesite="Lax",
        secure=deps.secure_cookies,
    )  # fmt: skip


def change_cart(call: AnyCall) -> web.Response:
    """Add a dish or take one away, then show the page it came from."""
    deps, form, request = call.context.deps, call.fields, call.request
    restaurant = deps.catalogue.restaurants.get(form.get("restaurant", ""))
    if restaurant is None or form.get("dish") not in restaurant.by_id:
        raise ProblemError("BAD_REQUEST", gettext("That dish is no longer on the menu."))
    by = {"add": 1, "remove": -1, "clear": -MAX_QUANTITY}.get(form.get("change", "add"))
    if by is None:
        raise ProblemError("BAD_REQUEST", "accepted: add, remove, clear")
    cart = cart_of(request)
    is_foreign = bool(cart.quantities) and cart.restaurant_id != restaurant.id
    if is_foreign and by > 0 and form.get("replace") != "yes":
        query = urlencode({"restaurant": restaurant.id, "dish": form["dish"]})
        raise web.HTTPSeeOther(f"/cart/replace?{query}")
    changed = cart.changed(restaurant.id, form["dish"], by)
    if len(changed.quantities) > MAX_CART_LINES:
        most = gettext("A cart can hold at most {most} different dishes.", most=MAX_CART_LINES)
        raise ProblemError("BAD_REQUEST", most)
    dish = f"/restaurants/{restaurant.id}#dish-{form['dish']}"
    target = "/checkout" if form.get("back") == "checkout" else dish
    response = web.Response(status=303, headers={"Location": target})
    keep_cart(response, deps, changed)
    auth.set_guest_cookie(request, response, deps)
    return response


def ask_to_replace(call: AnyCall) -> web.Response:
    """Ask before a cart of another restaurant is given up."""
    request, catalogue = call.request, call.context.deps.catalogue
    restaurant = catalogue.restaurants.get(request.query.get("restaurant", ""))
    dish = restaurant.by_id.get(request.query.get("dish", "")) if restaurant else None
    priced = priced_cart(request)
    if restaurant is None or dish is None or not priced.lines:
        raise web.HTTPSeeOther("/")
    return render(request, "replace_cart.html", restaurant=restaurant, dish=dish, priced=priced)
