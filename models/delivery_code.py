"""Words about delivery codes: how a typed one compares, and what a delivery's proof is."""

from enum import StrEnum


class CodeCheck(StrEnum):
    """How the code that a courier typed compares with the customer's. MISSING: none was typed."""

    MATCHED = "MATCHED"
    WRONG = "WRONG"
    MISSING = "MISSING"


class DeliveryProof(StrEnum):
    """What shows that an order was handed over. NO_CODE: a code was asked for, and none was given."""

    CODE = "CODE"
    NO_CODE = "NO_CODE"
