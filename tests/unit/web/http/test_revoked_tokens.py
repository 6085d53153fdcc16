"""Revoked tokens of staff: which are refused, for how long, and how many are kept."""

from __future__ import annotations

import asyncio
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UnavailableError
from web.http.revoked_tokens import (
    PERSON_KEPT_MS,
    RevocableStaff,
    Revocation,
    RevokedTokens,
    hash_of,
)
from web.http.tokens import BadTokenError, DevelopmentStaff, Role

KEY = "d" * 32
STAFF = DevelopmentStaff(KEY, sandbox=True)
NOW_MS = round(time.time() * 1000)


def revoked(*found: Revocation, now_ms: int = NOW_MS) -> RevokedTokens:
    made = RevokedTokens(lambda: now_ms)
    made.is_known = True
    for each in found:
        made.add(each)
    return made


def person(subject: str = "otto", at_ms: int = NOW_MS) -> Revocation:
    return Revocation(subject, "", at_ms, at_ms + PERSON_KEPT_MS, "operator:olga", "left")


def token(
    subject: str = "otto", issued_ms: int | None = NOW_MS - 60_000, role: Role = Role.OPERATOR
) -> str:
    now = int(time.time())
    claims = {"iss": STAFF.ISSUER, "sub": subject, "role": role.value, "exp": now + 3600}
    if issued_ms is not None:
        claims["iat"] = issued_ms // 1000
    return jwt.encode(claims, KEY, algorithm="HS256")


def is_refused(text: str, known: RevokedTokens) -> bool:
    try:
        asyncio.run(RevocableStaff(STAFF, known).verify(text))
    except BadTokenError as error:
        return "revoked" in str(error)
    return False


def test_all_tokens_of_a_person_until_then_are_refused_and_later_ones_are_not() -> None:
    known = revoked(person())
    assert is_refused(token(), known)
    assert is_refused(token(issued_ms=None), known), "it does not say when it was issued"
    assert not is_refused(token(issued_ms=NOW_MS + 1000), known)
    assert not is_refused(token("olga"), known)


def test_a_single_token_is_refused_and_another_of_the_person_is_not() -> None:
    mine, other = token(), token(issued_ms=NOW_MS - 90_000)
    single = Revocation("otto", hash_of(mine), NOW_MS, NOW_MS + 3_600_000, "operator:olga", "seen")
    assert is_refused(mine, revoked(single))
    assert not is_refused(other, revoked(single))


def test_a_later_revocation_of_a_person_counts_and_an_earlier_one_takes_nothing_back() -> None:
    known = revoked(person(at_ms=NOW_MS), person(at_ms=NOW_MS - 120_000))
    assert is_refused(token(), known)
    assert len(list(known.all())) == 1


def test_nobody_is_let_in_before_it_is_known() -> None:
    with pytest.raises(UnavailableError):
        asyncio.run(RevocableStaff(STAFF, RevokedTokens(lambda: NOW_MS)).verify(token()))


async def test_customers_are_not_asked_about() -> None:
    assert await RevocableStaff(STAFF, revoked(person())).customer(token()) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100), st.integers(1, 50))))
def test_what_is_kept_is_the_latest_of_each_that_has_a_use(
    made: list[tuple[str, int, int]],
) -> None:
    known = RevokedTokens(lambda: 60)
    for subject, at_ms, lasts_ms in made:
        known.add(Revocation(subject, "", at_ms, at_ms + lasts_ms, "", ""))
    used = [(subject, at_ms) for subject, at_ms, lasts_ms in made if at_ms + lasts_ms > 60]
    latest = {subject: max(at for whose, at in used if whose == subject) for subject, _ in used}
    assert {each.subject: each.at_ms for each in known.all()} == latest


def test_roles_do_not_matter() -> None:
    assert is_refused(token(role=Role.COURIER), revoked(person()))
