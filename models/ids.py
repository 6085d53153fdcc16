"""Identities: every id is derived from what caused it, so a repetition is recognised wherever it comes up."""

import functools
import re
from binascii import b2a_base64
from hashlib import blake2b
from typing import Final

import uuid_utils as uuid
from typeid import TypeID

NAMESPACE: Final = uuid.UUID("6f1d3c0e-7f0a-5c55-9a44-1d5f0c0ffee0")
TOKEN_CHARS: Final = 12
ORDER: Final = "order_"
CACHED_ORDERS: Final = 4096
"""Whose payment ids are kept: one is needed for each input of an order."""
REFERENCE_CHARS: Final = 8
_DIGIT_OF: Final = str.maketrans("ilo", "110")
"""Crockford's base32: letters that are taken for digits stand for them."""
_REFERENCE: Final = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{7}")


def derive_id(prefix: str, *parts: object) -> str:
    """Give the typeid (`prefix_...`) of the uuid5 of the parts; the same parts give the same id."""
    name = "\x1f".join(map(str, (prefix, *parts)))
    return str(TypeID.from_uuid(prefix=prefix, suffix=uuid.uuid5(NAMESPACE, name)))


def order_id(customer: str, idempotency_key: str) -> str:
    """Give the order's id: a repeated create-intent of the same customer is the same order."""
    return derive_id("order", customer, idempotency_key)


def reference(order_id: str) -> str:
    """Give the order's reference for people: the start of its id, such as 7K3M-9QXV.

    In Crockford's base32, which has no letter that looks like another or like a digit. 38 random bits: of
    a hundred million orders one in 2,700 shares its reference with another. As it is the start of the
    key, orders are found by it where they are, however old.
    """
    text = order_id.removeprefix(ORDER)[:REFERENCE_CHARS].upper()
    return f"{text[:4]}-{text[4:]}"


def reference_prefix(text: str) -> str | None:
    """Give how the ids of orders with this reference begin; None for a text that can't be one.

    As people write it: either case, with or without dash, spaces or number sign, o for 0, i or l for 1.
    """
    plain = re.sub(r"[\s#\-\u2010-\u2015]", "", text).lower().translate(_DIGIT_OF)
    return ORDER + plain if _REFERENCE.fullmatch(plain) else None


@functools.lru_cache(CACHED_ORDERS)
def payment_id(order_id: str) -> str:
    """Give the id of an order's one payment."""
    return derive_id("pay", order_id)


def event_id(input_id: str, producer: str, index: int) -> str:
    """Give the id of the index-th record that a service emits for one input.

    A plain uuid: this is the hot path, and events are by far the most ids.
    """
    return str(uuid.uuid5(NAMESPACE, f"{producer}\x1f{input_id}\x1f{index}"))


def command_id(*parts: object) -> str:
    """Give the id of a command: of an order, an action and the sender's idempotency key."""
    return derive_id("cmd", *parts)


def refund_id(cause_id: str) -> str:
    """Give the id of a refund: of the command or event that asked for it, or of Stripe's refund."""
    return derive_id("refund", cause_id)


def notification_id(event_id: str, channel: str) -> str:
    """Give the id of what tells a customer of an event by a channel; a mail's Message-ID is made of it."""
    return derive_id("notif", event_id, channel)


def order_bytes(order_id: str) -> bytes:
    """Give the 16 bytes of an order's id. Raises ValueError for what is none."""
    if not is_order_id(order_id):
        raise ValueError("not an order's id")
    return bytes(TypeID.from_string(order_id).uuid.bytes)


def order_of_bytes(packed: bytes) -> str:
    """Give the order's id of its 16 bytes."""
    return str(TypeID.from_uuid(prefix="order", suffix=uuid.UUID(bytes=packed)))


def is_order_id(text: str) -> bool:
    """Say whether the text has the form of an order id."""
    if not text.startswith("order_"):
        return False
    try:
        TypeID.from_string(text)
    except Exception:  # noqa: BLE001 - the library raises several unrelated types for a malformed id
        return False
    return True


def token(text: str) -> str:
    """Give 64 bits of an id's hash in TOKEN_CHARS characters; the last is "=", and no other.

    So tokens strung together can't overlap. That a new id has the token of one of 64 remembered ones
    is to be expected once in 10^17 inputs.
    """
    return b2a_base64(blake2b(text.encode(), digest_size=8).digest(), newline=False).decode()
