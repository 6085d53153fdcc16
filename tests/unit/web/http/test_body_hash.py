"""What a repeated Idempotency-Key is compared with: a body has the hash that it had in earlier releases."""

from __future__ import annotations

from typing import Any, Final

from web.api.schemas import CreateIntent
from web.http.bodies import body_hash

BODY: Final[dict[str, Any]] = {
    "restaurantId": "annapurna-bengaluru",
    "items": [{"dishId": "masala-dosa", "quantity": 2}],
    "contact": {"name": "Asha Rao", "email": "asha@example.com", "phone": "+919800000000"},
    "address": {"line1": "12 MG Road", "city": "Bengaluru", "postalCode": "560001"},
}
BEFORE_NOTES: Final = "4c26990c3f2eb684d6bfe6b6e24901319875b86d33d46d73aa49eaee459d8f45"
"""Of BODY, by the build before notes and allergies could be sent."""


def test_a_body_without_later_fields_has_the_hash_of_before() -> None:
    assert body_hash(CreateIntent.model_validate(BODY)) == BEFORE_NOTES


def test_a_later_field_counts_where_it_is_sent() -> None:
    with_notes = CreateIntent.model_validate({**BODY, "notes": "ring twice"})
    assert body_hash(with_notes) != BEFORE_NOTES
