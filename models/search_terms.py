"""Search index: the terms that an order can be found by, as rows beside its records, one a term and order.

A row's key is `find/<hash of the term>/<time>/<order id>`, so the orders of a term lie together in a
partition, the latest first, and looking one up is one seek a partition, however many orders there are.
Rows hold only hashes of personal data. Pure.
"""

import re
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

from models import money
from models.events import Event
from models.order import OrderRecord
from models.payment import PaymentRecord

SEARCH_ROW_PREFIX: Final = "find/"
"""How the keys of these rows begin. No record's does, for they have no slash."""
ROW: Final = b"1"
"""A row's value: all information is in its key."""
NATIONAL_NUMBER_DIGITS: Final = range(8, 12)
"""Digits of a telephone number without its country: people leave that out."""
MAX_NAME_WORDS: Final = 6
"""Of a name."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,99}")
_CURRENCY: Final = r"(?:[A-Za-z]{3}|[^\w\s+#.,()/@'-])?"
_AMOUNT: Final = re.compile(rf"{_CURRENCY}\s*([0-9][0-9.,']{{0,15}})\s*{_CURRENCY}")
_NOT_IN_WORDS: Final = re.compile(r"[\s.,;:/()\"#+&*?!]+")
_PHONE: Final = re.compile(r"\+?[\d ()./-]{5,30}")


class TermKind(StrEnum):
    """What a term is."""

    ID = "id"
    EMAIL = "email"
    PHONE = "phone"
    NAME = "name"
    AMOUNT = "amount"
    CARD = "card"


PERSONAL_KINDS: Final = frozenset({TermKind.EMAIL, TermKind.PHONE, TermKind.NAME})
"""Personal data: never in a URL, and searches by it are recorded in the audit."""


def row_prefix(kind: TermKind, term: str) -> str:
    """How the keys of a term's rows begin."""
    digest = blake2b(f"{kind}:{term}".encode(), digest_size=9).digest()
    return f"{SEARCH_ROW_PREFIX}{urlsafe_b64encode(digest).decode()}/"


def search_rows(
    terms: Iterable[tuple[TermKind, str]], order_id: str, at_ms: int = 0
) -> dict[str, bytes]:
    """The rows of an order's terms. at_ms: since the epoch; 0 where the same row may come again."""
    latest_first = f"{0xFFFFFFFF - at_ms // 1000:08x}"
    return {f"{row_prefix(*term)}{latest_first}/{order_id}": ROW for term in terms}


def order_of_row(key: str) -> str:
    """The order of a row."""
    return key.rpartition("/")[2]


def rows_of_order(before: OrderRecord, after: OrderRecord, order_id: str) -> Mapping[str, bytes]:
    """Rows that a decision adds: contact and amount, when the order is placed."""
    placed = after.placed
    if placed is None or before.placed is not None:
        return {}
    contact = placed.contact
    terms = chain(
        ((TermKind.EMAIL, term) for term in _email(contact.email)),
        ((TermKind.PHONE, term) for term in _phone(contact.phone)),
        ((TermKind.NAME, term) for term in _name(contact.name)),
        [(TermKind.AMOUNT, _plain(Decimal(money.decimal_text(placed.amount, placed.currency))))],
    )
    return search_rows(terms, order_id, placed.placed_at)


def rows_of_payment(
    before: PaymentRecord | None, after: PaymentRecord, order_id: str
) -> Mapping[str, bytes]:
    """Rows that a decision adds: our ids and Stripe's, and the last digits of cards."""
    if after is before or after.payment is None:
        return {}
    if before is not None and before.payment is not None and _parts(before) == _parts(after):
        return {}
    names, cards = _names(after), after.work.cards
    if before is not None:
        names -= _names(before)
        cards = cards[len(before.work.cards) :]
    if not names and not cards:
        return {}
    terms = [(TermKind.ID, name) for name in sorted(names)] + [
        (TermKind.CARD, digits) for digits in cards
    ]
    return search_rows(terms, order_id, after.payment.initiated_at)


def _parts(record: PaymentRecord) -> tuple[Any, ...]:
    """All that may add a row to those of a payment that has begun; most decisions leave it as it is."""
    payment, work = record.payment, record.work
    assert payment is not None
    own = (payment.stripe_charge_id, payment.refunds, payment.disputes)
    return (*own, payment.fraud_warnings, payment.reviews, work.charges, work.refunds, work.cards)


def _names(record: PaymentRecord) -> set[str]:
    """The ids of a payment and of what belongs to it."""
    payment = record.payment
    if payment is None:
        return set()
    names = {
        payment.payment_id, payment.stripe_intent_id, payment.stripe_charge_id,
        *record.work.charges.values(), *payment.disputes,
        *payment.fraud_warnings, *payment.reviews,
    }  # fmt: skip
    for refund in record.refunds().values():
        names |= {refund.refund_id, refund.stripe_refund_id}
    return {name for name in names if name}


def rows_of_event(event: Event) -> Mapping[str, bytes]:
    """Rows of an event: its own id, and those of the command, Stripe event or message that it names."""
    named = {event.event_id}
    if event.causation_id.startswith(("cmd_", "evt_")):
        named.add(event.causation_id)
    for name in ("stripe_event_id", "command_id", "notification_id"):
        named.add(getattr(event.data, name, None) or event.event_id)
    return search_rows(((TermKind.ID, each) for each in sorted(named)), event.order_id)


def parse_search_text(text: str) -> dict[TermKind, tuple[str, ...]]:
    """Terms that a text may stand for: 2500 is an amount, and may end a card's number."""
    text = unicodedata.normalize("NFKC", text).strip()
    digits = "".join(char for char in text if char.isascii() and char.isdigit())
    if "@" in text:
        return {TermKind.EMAIL: tuple(_email(text))}
    found: dict[TermKind, Iterable[str]] = {}
    if _ID.fullmatch(text):
        found[TermKind.ID] = [text]
    if _PHONE.fullmatch(text) and len(digits) >= NATIONAL_NUMBER_DIGITS[0]:
        found[TermKind.PHONE] = [digits.lstrip("0")]
    if amount := _AMOUNT.fullmatch(text):
        found[TermKind.AMOUNT] = _amounts(amount[1])
    if len(text) == len(digits) == 4:
        found[TermKind.CARD] = [digits]
    words = _words(text)
    if words and not any(char.isdigit() or char == "_" for char in text):
        found[TermKind.NAME] = [" ".join(sorted(words))]
    return {kind: tuple(terms) for kind, terms in found.items()}


def _email(text: str) -> list[str]:
    return [unicodedata.normalize("NFKC", text).strip().casefold()]


def _phone(text: str) -> list[str]:
    """All digits, and as many as a number without its country may have."""
    digits = "".join(char for char in text if char.isascii() and char.isdigit()).lstrip("0")
    return sorted({digits, *(digits[-n:] for n in NATIONAL_NUMBER_DIGITS if n < len(digits))})


def _name(text: str) -> list[str]:
    """Each word, the whole, and the first with the last, in whatever order."""
    words = _words(text)
    together = {" ".join(sorted(words)), " ".join(sorted({words[0], words[-1]}))} if words else ()
    return sorted({*words, *together})


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = (word for word in _NOT_IN_WORDS.split(plain) if any(map(str.isalpha, word)))
    return list(words)[:MAX_NAME_WORDS]


def _amounts(text: str) -> list[str]:
    """The amounts that a text may mean: 2,500 is two and a half in some countries."""
    plain = text.replace("'", "").strip(".,")
    readings = {re.sub(r"[.,]", "", plain)} if not re.search(r"[.,]\d{1,2}$", plain) else set()
    if match := re.fullmatch(r"([\d.,]*)[.,](\d{1,3})", plain):
        readings.add(f"{re.sub(r'[.,]', '', match[1]) or '0'}.{match[2]}")
    return sorted(_plain(Decimal(reading)) for reading in readings if reading)


def _plain(value: Decimal) -> str:
    """Without zeros at its end."""
    return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
