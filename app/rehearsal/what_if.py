"""`--what-if`: the settings that decisions go by, and a build's services with one of them changed."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from app.settings import PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

DECIDED_BY: Final = (
    "kitchen_deadline_s", "late_payment_s", "notification_repeat_after_s", "notification_tries",
    "payment_deadline_s",
)  # fmt: skip
"""Settings that change what services send. Others change when or how it is done, which no record tells."""


class WhatIfError(Exception):
    """A setting that can't be rehearsed; the message says which can."""


def changed_settings(settings: Settings, changes: Iterable[str]) -> Settings:
    """Settings with changes, such as "kitchen_deadline_s=480". Raises WhatIfError."""
    changed = {}
    for change in changes:
        name, equals, value = change.partition("=")
        field = name.strip().removeprefix(PREFIX).lower()
        if not equals:
            raise WhatIfError(f"--what-if {change}: give SETTING=VALUE. {_allowed()}")
        if field not in DECIDED_BY:
            raise WhatIfError(f"--what-if {name}: {_refusal(field)} {_allowed()}")
        changed[field] = value.strip()
    try:
        # Of the changed ones alone: what else is set was checked when it was read.
        checked = Settings.model_validate(
            {**{name: getattr(settings, name) for name in type(settings).model_fields}, **changed}
        )
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise WhatIfError(f"--what-if: {wrong}") from None
    return settings.model_copy(update={name: getattr(checked, name) for name in changed})


def _refusal(field: str) -> str:
    if field in Settings.model_fields:
        return "no decision goes by it, or none that a record tells."
    likely = difflib.get_close_matches(field, DECIDED_BY, 1)
    return "is no setting" + (f"; did you mean {likely[0]}?" if likely else ".")


def _allowed() -> str:
    return f"Settings that can be rehearsed: {', '.join(DECIDED_BY)}."
