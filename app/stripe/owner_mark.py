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


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class OwnerMark:
    """Of one platform. platform_ids: gives its id, then others that are its too; none while none is known.

    is_pending: whether none is known yet, and Kafka is about to tell it.
    """

    app_id: str
    platform_ids: Callable[[], Sequence[str]] = no_platform_ids
    is_pending: Callable[[], bool] = _never

    def marked(self, body: Metadata) -> Metadata:
        """A request's body with the mark."""
        return self.all_marked(body)[0]

    def all_marked(self, body: Metadata) -> Sequence[Metadata]:
        """The body with the mark, then as another worker or an earlier version may have marked it."""
        marks: list[Metadata] = [{APP: self.app_id, PLATFORM: id} for id in self.platform_ids()]
        given = body.get("metadata", {})
        return [{**body, "metadata": {**given, **mark}} for mark in (*marks, {APP: self.app_id})]

    def can_not_tell(self, metadata: Metadata | None) -> bool:
        """Whether it is not known yet if a platform's id is ours."""
        given = metadata or {}
        is_apps = given.get(APP, self.app_id) == self.app_id
        return PLATFORM in given and is_apps and self.is_pending()

    def strange_id(self, metadata: Metadata | None) -> str | None:
        """The platform's id of what bears our app id and none of our ids."""
        given, known = metadata or {}, self.platform_ids()
        id = given.get(PLATFORM)
        return id if known and given.get(APP) == self.app_id and id not in known else None

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
