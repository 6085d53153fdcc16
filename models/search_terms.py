"""Search: the terms that an order can be found by, as entries of the index of its records.

An entry is `f/<hash of the term>`, with a time behind it where many orders may have the term, and in RocksDB
the order's id: so the orders of a term lie together in a partition, the latest first, and looking one up is one
seek a partition, however many orders there are. It holds only hashes of personal data. Earlier versions kept
rows of the table in their place, `find/<hash of the term>/<time>/<order id>`; those are read as well. Pure.
"""

import re
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

from models import money
from models.commands import Contact
from models.order import OrderRecord
from models.payment import PaymentRecord

SEARCH_ROW_PREFIX: Final = "find/"
"""How the keys of these rows begin. No record's does, for they have no slash."""
ENTRY_PREFIX: Final = "f/"
"""How the entries of the index begin that are for searching."""
HASH_CHARS: Final = 10
"""Of a term's hash in an entry, of six bits each; a row has all twelve."""
CACHED_TERMS: Final = 8192
"""Whose hashes are kept: a record is written several times with the same ones."""
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


NAMED_IDS: Final = ("stripeEventId", "commandId", "notificationId")
"""Details of events whose orders are found by them."""
PERSONAL_KINDS: Final = frozenset({TermKind.EMAIL, TermKind.PHONE, TermKind.NAME})
"""Personal data: never in a URL, and searches by it are recorded in the audit."""


@lru_cache(CACHED_TERMS)
def row_prefix(kind: TermKind, term: str) -> str:
    """How the keys of a term's rows begin."""
    digest = blake2b(f"{kind}:{term}".encode(), digest_size=9).digest()
    return f"{SEARCH_ROW_PREFIX}{urlsafe_b64encode(digest).decode()}/"


def entry_prefix(row: str) -> str:
    """How a term's entries begin. row: how its rows do. 60 bits of the hash: 1 in 10^8 finds more."""
    start = len(SEARCH_ROW_PREFIX)
    return f"{ENTRY_PREFIX}{row[start : start + HASH_CHARS]}/"


def id_entry(name: str) -> str:
    """The entry of an id, which only one order has."""
    return entry_prefix(row_prefix(TermKind.ID, name))[:-1]


def _latest_first(at_ms: int) -> str:
    """A time in whole seconds such that later ones come first in the order of text."""
    return f"{0xFFFFFFFF - at_ms // 1000:08x}"


def _timed_entries(terms: Iterable[tuple[TermKind, str]], at_ms: int) -> tuple[str, ...]:
    """The entries of terms that many orders may have, the latest first. at_ms: since the epoch."""
    return tuple(f"{entry_prefix(row_prefix(*term))}{_latest_first(at_ms)}" for term in terms)


def search_rows(
    terms: Iterable[tuple[TermKind, str]], order_id: str, at_ms: int = 0
) -> dict[str, bytes]:
    """The rows of an order's terms. at_ms: since the epoch; 0 where the same row may come again."""
    return {f"{row_prefix(*term)}{_latest_first(at_ms)}/{order_id}": ROW for term in terms}


def order_of_row(key: str) -> str:
    """The order of a row."""
    return key.rpartition("/")[2]


def entries_of_order(record: OrderRecord) -> tuple[str, ...]:
    """What an order is found by: contact, for as long as it is kept, and amount."""
    placed = record.placed
    if placed is None:
        return ()
    return _placed_entries(placed.contact, placed.amount, placed.currency, placed.placed_at)


@lru_cache(CACHED_TERMS // 8)
def _placed_entries(
    contact: Contact | None, amount: int, currency: str, placed_at: int
) -> tuple[str, ...]:
    amounts = [(TermKind.AMOUNT, _plain(Decimal(money.decimal_text(amount, currency))))]
    terms = chain(_contact_terms(contact) if contact else (), amounts)
    return _timed_entries(terms, placed_at)


def _contact_terms(contact: Contact) -> Iterator[tuple[TermKind, str]]:
    yield from ((TermKind.EMAIL, term) for term in _email(contact.email))
    yield from ((TermKind.PHONE, term) for term in _phone(contact.phone))
    yield from ((TermKind.NAME, term) for term in _name(contact.name))


def entries_of_payment(record: PaymentRecord) -> tuple[str, ...]:
    """What a payment's order is found by: our ids and Stripe's, and the last digits of cards."""
    if record.payment is None:
        return ()
    cards = dict.fromkeys((TermKind.CARD, digits) for digits in record.work.cards)
    ids = tuple(id_entry(name) for name in sorted(_names(record)))
    return (*ids, *_timed_entries(cards, record.payment.initiated_at)) if cards else ids


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


def ids_of_event(row: Mapping[str, Any]) -> Iterator[str]:
    """Ids by which an event's order is found: its own, and of what it names (models/timeline.py has rows)."""
    yield row["eventId"]
    cause, detail = row["causationId"], row["detail"]
    if isinstance(cause, str) and cause.startswith(("cmd_", "evt_")):
        yield cause
    for name in NAMED_IDS:
        if isinstance(detail.get(name), str):
            yield detail[name]


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
