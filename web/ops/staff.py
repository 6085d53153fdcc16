"""Revocation of staff's tokens: of all that a person has, or of a single one."""

from typing import Self

from pydantic import Field, model_validator

from models.times import to_rfc3339
from web.http.api_model import ApiModel
from web.http.bodies import Body
from web.http.decoding import MAX_TOKEN_CHARS, DecodingError, check_token
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.revoked_tokens import PERSON_KEPT_MS, Revocation, hash_of
from web.http.route import Call
from web.http.tokens import LEEWAY_S, MAX_SUBJECT_CHARS


class RevokeBody(Body):
    """Whose tokens, or which; and why."""

    subject: str | None = Field(
        None, min_length=1, max_length=MAX_SUBJECT_CHARS, pattern=r"^[^\x00-\x1f\x7f]*$",
        description="`sub` of a person, behind the colon in the audit's `by`: all tokens until now",
    )  # fmt: skip
    token: str | None = Field(
        None, min_length=1, max_length=MAX_TOKEN_CHARS, description="a single token that is valid"
    )
    reason: str = Field(
        min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$",
        description="1 to 200 characters in one line: kept in the audit",
    )  # fmt: skip

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.subject is None) == (self.token is None):
            raise ValueError("accepted: either subject or token")
        return self


class RevocationView(ApiModel):
    """What is revoked. issuedBefore: tokens of the subject that were issued then or before; single: only one.

    until: when those tokens have all expired, and this is forgotten.
    """

    subject: str
    single: bool
    issued_before: str
    until: str
    by: str
    reason: str


class RevocationList(ApiModel):
    """Those that count, the latest first."""

    revocations: tuple[RevocationView, ...]


async def revoke_staff(call: Call[Params, RevokeBody]) -> RevocationView:
    """Revoke tokens of staff: every worker refuses them within seconds, and after restarts too."""
    revocation = await _asked(call)
    await call.context.operations.revocations.revoke(revocation)
    return _view(revocation)


def list_revocations(call: Call[Params, None]) -> RevocationList:
    """The revocations that count now."""
    found = call.context.operations.revocations.all()
    return RevocationList(revocations=tuple(map(_view, found)))


async def _asked(call: Call[Params, RevokeBody]) -> Revocation:
    body, now_ms = call.body, call.context.deps.now_ms()
    by, latest_ms = call.identity.issued_by, now_ms + PERSON_KEPT_MS
    if body.subject is not None:
        return Revocation(body.subject, "", now_ms, latest_ms, by, body.reason)
    assert body.token is not None, "one of the two is there"
    assert call.context.deps.staff is not None, "it has verified who asks"
    try:
        identity = await call.context.deps.staff.verify(body.token)
        end_ms = (int(check_token(body.token)["exp"]) + LEEWAY_S) * 1000
    except (ProblemError, DecodingError):
        accepted = "accepted: a token of staff that is valid now"
        raise ProblemError("VALIDATION_FAILED", errors=[("token", accepted)]) from None
    until_ms = min(end_ms, latest_ms)
    return Revocation(identity.subject, hash_of(body.token), now_ms, until_ms, by, body.reason)


def _view(revocation: Revocation) -> RevocationView:
    return RevocationView(
        subject=revocation.subject,
        single=bool(revocation.token_hash),
        issued_before=to_rfc3339(revocation.at_ms),
        until=to_rfc3339(revocation.until_ms),
        by=revocation.by,
        reason=revocation.reason,
    )
