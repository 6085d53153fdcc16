"""How many messages one address gets in an hour: whoever orders names an address that nobody has verified.

Each worker counts for itself, and from its start: an address whose orders lie with three workers may get
three times as many. Only keyed hashes of addresses are held, and only in memory.
"""

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from models.commands import Contact
from models.notification import Channel

HOUR_S: Final = 3600.0
MAX_CONTACTS: Final = 50_000
"""Remembered; beyond that the one that got nothing for longest is forgotten."""


class ContactLimit:
    """For one event loop. Slots are taken by a message's id, so that a second try takes no other."""

    def __init__(self, per_hour: int, *, steady_s: Callable[[], float] = time.monotonic) -> None:
        """per_hour: messages to one mail address, and to one number; 0: as many as there are."""
        self._per_hour, self._steady_s = per_hour, steady_s
        self._key = os.urandom(32)
        self._slots: OrderedDict[bytes, dict[str, float]] = OrderedDict()

    def take(self, channel: Channel, contact: Contact, message_id: str) -> float:
        """Let a message go to the contact; 0, or after how many seconds to ask again."""
        if not self._per_hour:
            return 0.0
        now_s = self._steady_s()
        name = self._name_of(channel, contact)
        known = self._slots.pop(name, {})
        slots = {each: at_s for each, at_s in known.items() if now_s - at_s < HOUR_S}
        self._slots[name] = slots
        if len(self._slots) > MAX_CONTACTS:
            self._slots.popitem(last=False)
        if message_id in slots:
            return 0.0
        if len(slots) >= self._per_hour:
            return max(1.0, min(slots.values()) + HOUR_S - now_s)
        slots[message_id] = now_s
        return 0.0

    def release_slot(self, channel: Channel, contact: Contact, message_id: str) -> None:
        """The message did not go, and will not."""
        self._slots.get(self._name_of(channel, contact), {}).pop(message_id, None)

    def _name_of(self, channel: Channel, contact: Contact) -> bytes:
        digits = "".join(filter(str.isdigit, contact.phone))
        address = _mailbox(contact.email) if channel is Channel.EMAIL else digits
        return hashlib.blake2b(f"{channel}:{address}".encode(), key=self._key).digest()


def _mailbox(email: str) -> str:
    """One name for what ends in the same mailbox: capitals, and what follows a plus, do not count."""
    local, _, domain = email.strip().casefold().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"
