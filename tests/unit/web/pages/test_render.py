"""What pages are made of, without a browser: carts, money, words, pictures, policies, vendored files."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import web
from models.graphs import OrderStatus, RefundStatus
from models.order import PLACED
from web.api.order_views import OrderView
from web.api.payment_views import Money
from web.api.schemas import MAX_QUANTITY
from web.api.timeline import TimelineEntry
from web.catalogue import load_catalogue
from web.http.deps import StripeOrigins
from web.pages.assets import FOLDER, Assets
from web.pages.formats import ORDER_STATUS_TEXTS, exact, money_text
from web.pages.ops.timeline_diagram import MAX_DRAWN, draw_timeline
from web.pages.render import make_environment, policy
from web.pages.shop.cart import (
    COOKIE,
    Cart,
    cart_of,
    with_prices,
)
from web.pages.shop.order_progress import (
    COURIER_STAGE,
    HEADLINES,
    REFUND_WORDS,
    progress_of,
)
from web.pages.staff.login import _next

CATALOGUE = load_catalogue()
AT = "2026-11-23T07:00:00.000Z"


def request_with(cookie: str) -> Any:
    return cast(Any, SimpleNamespace(cookies={COOKIE: cookie}))


changes = st.lists(
    st.tuples(
        st.sampled_from([place.id for place in CATALOGUE.restaurants.values()]),
        st.integers(0, 11),
        st.sampled_from([1, 1, 1, -1, -MAX_QUANTITY]),
    ),
    max_size=30,
)


@given(changes)
def test_a_cart_is_what_its_cookie_says(taps: list[tuple[str, int, int]]) -> None:
    cart, keys = Cart(), set()
    for restaurant_id, dish, by in taps:
        dish_id = CATALOGUE.restaurants[restaurant_id].dishes[dish].id
        cart = cart.changed(restaurant_id, dish_id, by)
        assert cart.key not in keys  # another cart is another order
        keys.add(cart.key)
        assert all(0 < count <= MAX_QUANTITY for count in cart.quantities.values())
    read = cart_of(request_with(cart.text()))
    assert dict(read.quantities) == dict(cart.quantities)
    priced = with_prices(CATALOGUE, read)
    assert priced.total == sum(line.dish.price * line.quantity for line in priced.lines)
    if cart.quantities:
        assert (read.key, read.restaurant_id) == (cart.key, cart.restaurant_id)
        renewed = with_prices(CATALOGUE, read.renewed())
        assert renewed.cart.key != read.key
        assert renewed.fingerprint == priced.fingerprint


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda raw: raw.hex())))
def test_a_cookie_of_somebody_elses_making_is_an_empty_cart(cookie: str) -> None:
    assert cart_of(request_with(cookie)) == Cart()


def test_a_dish_off_the_menu_leaves_the_cart() -> None:
    cart = Cart("hinode-kyoto", {"shoyu-ramen": 2, "gone": 1}, "k")
    priced = with_prices(CATALOGUE, cart)
    assert [line.dish.id for line in priced.lines] == ["shoyu-ramen"]
    assert not with_prices(CATALOGUE, Cart("gone", {"shoyu-ramen": 1}, "k")).lines


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (250000, "INR", "₹2,500.00"),
        (12345678, "INR", "₹1,23,456.78"),
        (980, "JPY", "¥980"),
        (1450, "USD", "$14.50"),
        (8500, "JOD", "JOD\u00a08.500"),
    ],
)
def test_amounts_are_written_as_their_people_do(amount: int, currency: str, text: str) -> None:
    assert money_text(amount, currency) == text


def test_every_state_has_words() -> None:
    states = {PLACED, *OrderStatus}
    assert set(HEADLINES) == states
    assert set(ORDER_STATUS_TEXTS) == states
    assert set(REFUND_WORDS) == set(RefundStatus)
    assert set(COURIER_STAGE) <= set(OrderStatus)


@pytest.mark.parametrize(
    ("status", "current", "done"),
    [
        (PLACED, "Waiting for payment", 1),
        ("PAYMENT_PENDING", "Waiting for payment", 1),
        ("PAYMENT_FAILED", "Payment failed", 1),
        ("PENDING", "Paid", 1),
        ("CONFIRMED", "Accepted by the kitchen", 2),
        ("PREPARING", "Being cooked", 3),
        ("READY_FOR_PICKUP", "Ready for the courier", 4),
        ("OUT_FOR_DELIVERY", "On its way", 5),
        ("DELIVERED", "Delivered", 7),
        ("CANCELLED", "Cancelled", 2),
        ("REFUNDED", "Refunded", 3),
    ],
)
def test_the_step_where_the_order_is_is_the_current_one(
    status: str, current: str, done: int
) -> None:
    reached = {"PENDING": AT, "CANCELLED": AT, "REFUNDED": AT}
    view = OrderView(
        order_id="o", reference="7K3M-9QXV", payment_id="p", status=status,
        amount=Money.of(1, "INR"), updated_at=AT, reached=reached, deadlines={}, versions={}, placed_at=AT,
    )  # fmt: skip
    steps = progress_of(view).steps
    assert [step.label for step in steps if step.is_current] == [current]
    assert sum(step.state == "done" for step in steps) == done
    here = [step.is_current for step in steps].index(True)
    assert {step.state for step in steps[here + 1 :]} <= {"upcoming"}
    assert "upcoming" not in {step.state for step in steps[: here + 1]}


def test_every_dish_has_a_picture_and_pictures_hold_shapes_alone() -> None:
    assets = Assets()
    for place in CATALOGUE.restaurants.values():
        assert f"dishes/cuisine-{place.cuisine.lower().replace(' ', '-')}.svg" in assets.by_name
        for dish in place.dishes:
            assert f"/dishes/{dish.id}.svg?v=" in assets.dish_picture(dish.id, place.cuisine)
    shapes = "svg defs radialGradient stop g rect circle ellipse path"
    for name, asset in assets.by_name.items():
        if not name.startswith("dishes/"):
            continue
        for element in ET.fromstring(asset.content).iter():
            assert element.tag.rpartition("}")[2] in shapes.split(), name
            assert not [key for key in element.attrib if key == "style" or key.startswith("on")], (
                name
            )
            assert "href" not in " ".join(element.attrib), name


def test_a_dish_without_a_picture_gets_its_cuisines_or_a_plain_plate() -> None:
    assets = Assets()
    assert "cuisine-south-indian.svg" in assets.dish_picture("dish-of-tomorrow", "South Indian")
    assert "cuisine-plain.svg" in assets.dish_picture("dish-of-tomorrow", "Martian")


def test_policies_let_in_nothing_inline() -> None:
    for each in (policy(), policy(StripeOrigins()), policy(StripeOrigins.stand_in("http://h:1/x"))):
        assert "unsafe" not in each
        assert "data:" not in each.split("script-src")[1].split(";")[0]
        assert each.startswith("default-src 'none';")
    assert "https://js.stripe.com" not in policy()
    assert "frame-src 'none'" in policy()


def test_templates_have_no_inline_scripts_styles_or_handlers() -> None:
    engine = make_environment(Assets())
    for name in engine.list_templates():
        source = (FOLDER.parent / "templates" / name).read_text()
        engine.get_template(name)
        for tag in re.findall(r"<script[^>]*>", source):
            assert "src=" in tag or 'type="application/json"' in tag, name
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|hx-on|hx-vals='js", source), name


def test_vendored_files_are_what_they_are_said_to_be() -> None:
    assets = Assets()
    text = (FOLDER / "VENDORED.md").read_text()
    listed = dict(re.findall(r"^\| (vendor/\S+) \|.*`(sha384-\S+)` \|$", text, re.MULTILINE))
    files = {name for name in assets.by_name if re.match(r"vendor/[^/]+$", name)}
    assert set(listed) == files
    for name, integrity in listed.items():
        assert assets.integrity(name) == integrity
    for licence in re.findall(r"\((vendor/licences/\S+)\)", text):
        assert licence in assets.by_name


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("/kitchen", "/kitchen"),
        ("//evil.example", ""),
        ("/\\evil.example", ""),
        ("https://evil.example", ""),
        ("/ops\r\nSet-Cookie: a=b", ""),
        ("", ""),
    ],
)
def test_after_signing_in_nobody_is_led_to_another_site(asked: str, given: str) -> None:
    assert _next(asked) == given


def entry(number: int, service: str, t_ms: int, cause: int | None) -> TimelineEntry:
    return TimelineEntry(
        t_ms=t_ms,
        occurred_at="2026-11-23T07:00:00.000Z",
        service=service,
        event_type="PAYMENT_COMPLETED",
        event_id=f"e{number}",
        causation_id=None if cause is None else f"e{cause}",
        detail={},
    )


def test_a_timeline_is_drawn_with_a_lane_a_service_and_lines_from_causes() -> None:
    rows = [
        entry(0, "payments", 0, None),
        entry(1, "orders", 40, 0),
        entry(2, "orders", 40, 1),
        entry(3, "kitchens of tomorrow", 65_000, 2),
    ]
    drawn = draw_timeline(rows)
    assert [name for name, _ in drawn.lanes] == ["orders", "payments", "kitchens of tomorrow"]
    assert len(drawn.links) == 3
    assert [words for _, words in drawn.pauses] == ["1 min"]
    assert [dot.x for dot in drawn.dots] == sorted(dot.x for dot in drawn.dots)
    many = draw_timeline([entry(n, "orders", n, None) for n in range(MAX_DRAWN + 5)])
    assert (len(many.dots), many.left_out) == (MAX_DRAWN, 5)
    assert draw_timeline([]).dots == ()


def test_evidence_gives_each_time_with_its_date_and_zone() -> None:
    template = (Path(web.__file__).parent / "templates" / "evidence.html").read_text()
    assert "|time" not in template
    assert "|clock" not in template
    shown = exact("2026-11-26T10:05:07.000Z")
    assert all(part in shown for part in ("2026", "Nov", "26", "05:07", "UTC")), shown
