"""Ids in text: random digits, among which any short number is found now and then."""

import re
from typing import Final

IDS: Final = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[a-zA-Z]+_[0-9A-Za-z]{16,}|\b[0-9a-f]{16,}\b"
)


def without_ids(text: str) -> str:
    """The text without UUIDs, prefixed ids (order_..., pi_...) and hashes."""
    return IDS.sub("", text)
