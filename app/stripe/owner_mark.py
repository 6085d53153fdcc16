"""The mark of what this platform makes at Stripe, in the metadata: an account may serve several.

`app` is the app id, which two platforms may share, for both can have the default. `platform` is the id that a
platform's Kafka holds (app/platform_identity.py), which none shares.

What must not be missed goes by `may_be_ours`, what must not be touched by `is_surely_ours`: objects that were
made before there was the id bear the app id alone, and the oldest nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from models import ids

APP: Final = "app"
PLATFORM: Final = "platform"

Metadata = Mapping[str, Any]


def no_platform_ids() -> Sequence[str]:
    """Of a platform whose id is not known."""
    return ()


@dataclass(frozen=True, slots=True)
class OwnerMark:
    """Of one platform. platform_ids: gives its id, then others that are its too; none while none is known."""

    app_id: str
    platform_ids: Callable[[], Sequence[str]] = no_platform_ids

    def marked(self, body: Metadata, *, with_platform: bool = True) -> Metadata:
        """A request's body with the mark; without the platform's id, as earlier versions made it."""
        mark, known = {APP: self.app_id}, self.platform_ids()
        if with_platform and known:
            mark[PLATFORM] = known[0]
        return {**body, "metadata": {**body.get("metadata", {}), **mark}}

    def may_be_ours(self, metadata: Metadata | None) -> bool:
        """Whether nothing says that somebody else made it."""
        given, known = metadata or {}, self.platform_ids()
        is_others = bool(known) and PLATFORM in given and given[PLATFORM] not in known
        return not is_others and bool(given.get(APP, self.app_id) == self.app_id)

    def is_surely_ours(self, metadata: Metadata | None) -> bool:
        """Whether this very platform made it."""
        given = metadata or {}
        return given.get(APP) == self.app_id and given.get(PLATFORM) in self.platform_ids()

    def order_id(self, metadata: Metadata | None) -> str | None:
        """The order that metadata name, if it is one of ours."""
        order_id = (metadata or {}).get("orderId")
        is_one = self.may_be_ours(metadata) and order_id and ids.is_order_id(order_id)
        return order_id if is_one else None


DEFAULT_MARK: Final = OwnerMark("tiffin")
"""Of a program that is no worker."""
