"""What a customer can write into a mail from our address: nothing but a name, and that as text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from html import unescape

import pytest
from msgspec import structs

from app.notifications.channels import CustomerMessage
from app.notifications.mail import Mailer
from app.notifications.rendering import MessageRenderer
from models.commands import Contact
from models.events import EventType
from models.notification import Channel, Notification
from models.order import Placed
from sandbox.mailbox.server import EMAIL, Mailbox
from sandbox.processes import MAX_WAIT_S
from tests.support.payment_flow import PLACE
from web.catalogue import load_catalogue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LETTER = CustomerMessage(
    notification_id="notif_1", order_id="order_1", subject="Your order", text="As ordered.",
    html="<p>As ordered.</p>", short_text="s", occurred_at=NOW, requested_at=NOW,
    contact=Contact(name="Asha Rao", email="asha@example.com", phone="1"),
)  # fmt: skip

HEADERS = "=?utf-8?q?x=0d=0aSubject:_You_have_won=0d=0a=0d=0a<h1>Click</h1>?="
NAMES = [
    HEADERS,
    "=?utf-8?b?eA0KU3ViamVjdDogWW91IGhhdmUgd29u?=",
    "x\u2028Subject: You have won",
    "x\x85Subject: You have won",
    "x\x0bSubject: You have won",
    "x\r\nSubject: You have won",
    '"x" <boss@example.com>, "y',
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_adds_no_header_and_no_text(name: str) -> None:
    letter = replace(LETTER, contact=structs.replace(LETTER.contact, name=name))
    async with Mailbox() as mailbox:
        mailer = Mailer(
            "127.0.0.1", mailbox.smtp_port, security="none", user=None, password=None,
            sender="Tiffin <orders@tiffin.example>", timeout_s=MAX_WAIT_S,
        )  # fmt: skip
        await mailer.send(letter, maybe_sent=False)
        await mailer.close()
        (mail,) = mailbox.of_order("order_1", EMAIL)
    assert (mail.to, mail.subject) == ("asha@example.com", "Your order")
    assert mail.text.strip() == "As ordered."


@pytest.mark.parametrize(
    ("name", "greeted"),
    [
        ("Asha Rao", "Asha Rao"),
        ("J.R.R. Tolkien", "J.R.R. Tolkien"),
        ("Dr. Anne-Marie O'Neill", "Dr. Anne-Marie O'Neill"),
        ("अशा राव", "अशा राव"),
        ("You have won, see evil.example", "there"),
        ("https://evil.example", "there"),
        ("call sales@evil.example", "there"),
        ("x" * 81, "there"),
    ],
)
def test_a_name_that_advertises_is_not_told(name: str, greeted: str) -> None:
    placed = structs.replace(
        Placed.of(PLACE, 0), contact=structs.replace(LETTER.contact, name=name)
    )
    notification = Notification(
        notification_id="notif_1", event_type=EventType.ORDER_CONFIRMED, channel=Channel.EMAIL,
        occurred_at=0, requested_at=0, event_id="e", facts={},
    )  # fmt: skip
    written = MessageRenderer(
        load_catalogue().restaurants.values(), lambda *_: "https://eat.example/o/x"
    ).write("order_1", notification, placed)
    assert f"Hello {greeted}," in written.text
    assert f"{greeted}," in unescape(written.html)
    assert greeted == name or name not in unescape(written.html)
