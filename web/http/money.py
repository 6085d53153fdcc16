"""Amounts as the API shows them."""

from typing import Self

from models.messages import Message
from models.money import decimal_text


class Money(Message):
    """amount: minor units. display: 2500.00."""

    amount: int
    currency: str
    display: str

    @classmethod
    def of(cls, amount: int, currency: str) -> Self:
        """Minor units of a currency."""
        return cls(amount=amount, currency=currency, display=decimal_text(amount, currency))
