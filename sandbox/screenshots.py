"""`make screenshots`: pictures of every page, on a phone and on a desk, into docs/screenshots."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import click
from confluent_kafka import Producer
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from sandbox.card_numbers import DECLINED, THREE_D_SECURE_UNLESS_SET_UP, VISA
from sandbox.customer import Customer
from sandbox.endpoints import Endpoints
from sandbox.platform import ROOT, Platform
from sandbox.simulate import Simulation
from sandbox.staff import Staff

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = ROOT / "docs" / "screenshots"
SIZES: Final = {360: 740, 1440: 900}
MAX_HEIGHT_PX: Final = 1500
"""Longer pages are cut: a picture shows what a page is like."""
COLOURS: Final = 160
KITCHEN: Final = "annapurna-bengaluru"
DETAILS: Final = {
    "line1": "12 MG Road", "city": "Bengaluru", "postal_code": "560001", "name": "Asha Rao",
    "email": "asha@example.com", "phone": "+91 98000 00000",
}  # fmt: skip
MAILBOX_FAULTS: Final = (
    {"channel": "EMAIL", "kind": "refuse", "code": 550, "times": 2},
    {"channel": "SMS", "kind": "refuse", "code": 503, "times": 6},
)
"""Some messages to customers fail: what operators see has life in it."""
STEPS: Final = ("accept", "start-preparing", "ready")
OPERATIONS: Final = (
    "", "/orders", "/stuck", "/dead-letters", "/refunds", "/disputes", "/notifications",
    "/reconciliation", "/lag", "/audit",
)  # fmt: skip


class Camera:
    """Takes pictures of one width, into `folder`."""

    folder = FOLDER

    def __init__(self, browser: Browser, home: str, width: int, *, dark: bool = False) -> None:
        self.width, self.name_end = width, "-dark" if dark else ""
        self.context = browser.new_context(
            viewport={"width": width, "height": SIZES[width]},
            color_scheme="dark" if dark else "light",
            base_url=home,
            reduced_motion="reduce",
            timezone_id="Asia/Kolkata",
            locale="en-GB",
        )
        self.context.set_default_timeout(60_000)
        self.page: Page = self.context.new_page()

    def shoot(self, name: str) -> None:
        """The page as it is, from its top, in few colours."""
        self.page.evaluate("scrollTo(0, 0)")
        self.page.wait_for_load_state("load")
        tall = min(MAX_HEIGHT_PX, int(self.page.evaluate("document.documentElement.scrollHeight")))
        size = {"x": 0, "y": 0, "width": self.width, "height": max(tall, SIZES[self.width])}
        taken = self.page.screenshot(full_page=True, clip=size)  # type: ignore[arg-type]
        image = Image.open(io.BytesIO(taken)).convert("RGB")
        few = image.quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(self.folder / f"{name}-{self.width}{self.name_end}.png", optimize=True)

    def visit(self, path: str, name: str) -> None:
        """Open a page and take its picture."""
        self.page.goto(path)
        self.page.wait_for_timeout(600)  # fonts, pictures and charts
        self.shoot(name)

    def pay(self, card: str) -> None:
        """Enter a card."""
        self.page.get_by_label("Card number").fill(card)
        self.page.get_by_label("Expiration date").fill("12 / 34")
        self.page.get_by_label("Security code").fill("123")
        self.page.get_by_role("button", name="Pay ").click()

    def sign_in(self, role: str) -> None:
        """As staff."""
        self.page.goto("/login")
        self.page.get_by_role("radio", name=role).check()
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: not url.endswith("/login"))


@click.command(help=__doc__)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=FOLDER, help="Where the pictures go."
)
def main(folder: Path) -> None:
    """Start everything, play some orders, take the pictures."""
    Camera.folder = folder
    folder.mkdir(parents=True, exist_ok=True)
    chromium = subprocess.run(
        [ROOT / "scripts" / "chromium.sh"], check=True, capture_output=True, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as data:
        settings = {"TIFFIN_COURIER_LIMIT": "3", "TIFFIN_NOTIFICATION_TRIES": "2"}
        with Platform(Path(data), settings=settings, progress=click.echo) as platform:
            click.echo("Playing a day")
            asked = asyncio.run(_day(platform.endpoints))
            _produce_unreadable_record(platform.bootstrap)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"]
                )
                for width in SIZES:
                    click.echo(f"Taking pictures of {width} pixels")
                    _customers(browser, platform.endpoints, width)
                    _staff(browser, platform.endpoints, width, asked)
                browser.close()
    total = sum(path.stat().st_size for path in folder.glob("*.png"))
    click.echo(f"{len(list(folder.glob('*.png')))} pictures, {total / 1e6:.1f} MB, in {folder}")


async def _day(endpoints: Endpoints) -> str:
    """A day that is over, and a kitchen full of orders; gives the one that was paid at the second try."""
    await Simulation(endpoints, orders=30, rate_per_s=3, pace_s=0.3).run()
    async with aiohttp.ClientSession(endpoints.mailbox) as mailbox:
        for fault in MAILBOX_FAULTS:
            (await mailbox.post("/_control/faults", json=fault)).raise_for_status()
    orders = []
    for number in range(7):
        async with Customer(endpoints.workers[0], endpoints.stripe) as customer:
            await customer.open_payment(await customer.basket(KITCHEN, dishes=1 + number % 3))
            if number == 0:
                await customer.confirm(DECLINED)
            await customer.confirm(VISA)
            await customer.wait_status("PENDING")
            orders.append(customer.order_id)
    async with Staff(endpoints.workers[0], "kitchen", "screenshots", KITCHEN) as kitchen:
        for number, order_id in enumerate(orders):
            for step in STEPS[: (3, 3, 2, 1, 0, 0, 2)[number]]:
                await kitchen.kitchen(order_id, step)
    async with Staff(endpoints.workers[0], "courier", "demo") as courier:
        await courier.deliver(orders[0], "assign")
    return orders[0]


def _produce_unreadable_record(bootstrap: str) -> None:
    """What no service can read becomes a dead letter."""
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    text = b'{"commandType": "CANCEL_ORDER", "orderId": 42, "data": {"reason": "left over"'
    producer.produce("order-commands", text, b"order_00000000000000000000000000")
    producer.flush(10)


@contextmanager
def _camera(
    browser: Browser, endpoints: Endpoints, width: int, *, dark: bool = False
) -> Iterator[Camera]:
    camera = Camera(browser, endpoints.workers[0], width, dark=dark)
    yield camera
    camera.context.close()


def _customers(browser: Browser, endpoints: Endpoints, width: int) -> None:
    with _camera(browser, endpoints, width) as camera:
        page = camera.page
        camera.visit("/", "home")
        page.goto(f"/restaurants/{KITCHEN}")
        for dish in ("Add Masala dosa", "Add Medu vada (2)", "Add Filter coffee"):
            page.get_by_role("button", name=dish).click()
        page.locator(".cart-line").nth(2).wait_for(state="attached")
        camera.shoot("menu")
        page.goto("/checkout")
        page.get_by_label("Email").fill("asha")
        page.get_by_role("button", name="Continue to payment").click()
        page.locator("[data-focus]").wait_for()
        camera.shoot("checkout-wrong")
        for field, value in DETAILS.items():
            page.locator(f"#{field}").fill(value)
        page.evaluate("document.activeElement.blur()")
        page.goto("/checkout")
        camera.shoot("checkout")
        page.get_by_role("button", name="Continue to payment").click()
        page.get_by_label("Card number").wait_for()
        camera.shoot("payment")
        camera.pay(DECLINED)
        page.locator("#pay-wrong:not([hidden])").wait_for()
        camera.shoot("payment-declined")
        camera.pay(THREE_D_SECURE_UNLESS_SET_UP)
        question = page.frame_locator("dialog iframe").get_by_role("button", name="Complete")
        question.wait_for()
        camera.shoot("payment-3d-secure")
        question.click()
        page.wait_for_url(lambda url: "/orders/" in url and not url.endswith("/pay"))
        page.get_by_text("Live", exact=True).wait_for()
        order_id = page.url.rsplit("/", 1)[1]
        camera.shoot("tracking-paid")
        with ThreadPoolExecutor(1) as another:  # this thread has playwright's event loop
            another.submit(asyncio.run, _deliver(endpoints, order_id)).result()
        page.get_by_role("heading", name="On its way to you").wait_for()
        page.wait_for_timeout(600)
        camera.shoot("tracking")
        page.get_by_role("link", name="Cancel this order").click()
        camera.shoot("cancel")
        page.get_by_role("button", name="Cancel the order").click()
        page.get_by_role("heading", name="Cancelled and refunded").wait_for()
        camera.shoot("tracking-refunded")
        camera.visit("/orders/order_nonsense", "not-found")
        camera.visit("/docs", "reference")
    with _camera(browser, endpoints, width, dark=True) as camera:
        camera.visit("/", "home")
        camera.visit(f"/restaurants/{KITCHEN}", "menu")


async def _deliver(endpoints: Endpoints, order_id: str) -> None:
    """From the kitchen onto the road."""
    async with Staff(endpoints.workers[0], "kitchen", "screenshots", KITCHEN) as kitchen:
        for step in STEPS:
            await kitchen.kitchen(order_id, step)
    async with Staff(endpoints.workers[0], "courier", "ravi") as courier:
        await courier.deliver(order_id, "assign")
        await courier.deliver(order_id, "pick-up")


def _staff(browser: Browser, endpoints: Endpoints, width: int, order_id: str) -> None:
    with _camera(browser, endpoints, width) as camera:
        camera.visit("/login", "sign-in")
        camera.sign_in("Kitchen")
        camera.visit("/kitchen", "kitchen")
        camera.sign_in("Courier")
        camera.visit("/courier", "courier")
        camera.sign_in("Operator")
        for path in OPERATIONS:
            camera.visit(f"/ops{path}", f"operations{path.replace('/', '-')}")
        camera.visit("/ops/payments?by=minute&currency=INR", "operations-payments")
        camera.visit(f"/ops/orders/{order_id}", "operations-order")
        camera.visit(f"/ops/orders/{order_id}/refund", "operations-refund")
        camera.page.goto("/ops/dead-letters")
        camera.page.locator("tbody a").first.click()
        camera.shoot("operations-dead-letter")
        camera.page.goto("/ops/disputes")
        camera.page.get_by_role("link", name="Evidence").first.click()
        camera.shoot("operations-evidence")
    with _camera(browser, endpoints, width, dark=True) as camera:
        camera.sign_in("Kitchen")
        camera.visit("/kitchen", "kitchen")
        camera.sign_in("Operator")
        camera.visit("/ops", "operations")
        camera.visit(f"/ops/orders/{order_id}", "operations-order")


if __name__ == "__main__":
    main()
