"""The account's client and what it is held against, as the settings say."""

from collections.abc import Callable, Iterable, Sequence

from app.settings import Settings
from app.stripe.account import AccountClient
from app.stripe.check import ExpectedAccount
from app.stripe.endpoint_checks import WEBHOOK_PATH
from models.payment_methods import AUTOMATIC


def account_client(settings: Settings) -> AccountClient:
    """A client with the settings' key; to be closed."""
    return AccountClient(
        settings.stripe_secret_key.get_secret_value(), base_url=settings.stripe_api_url,
        timeout_s=settings.stripe_read_timeout_s,
    )  # fmt: skip


def expected_account(
    settings: Settings,
    currencies: Iterable[str],
    *,
    now_s: Callable[[], float],
    platform_ids: Callable[[], Sequence[str]] | None = None,
) -> ExpectedAccount:
    """currencies: of the menus. now_s: seconds since the epoch. platform_ids: see ExpectedAccount."""
    url = settings.public_url
    # Where the dashboard chooses, cards are asked for all the same.
    is_automatic = settings.payment_methods == (AUTOMATIC,)
    return ExpectedAccount(
        app_id=settings.app_id, is_sandbox=settings.sandbox, livemode=settings.livemode,
        webhook_url=f"{url.rstrip('/')}{WEBHOOK_PATH}" if url else None,
        currencies=frozenset(currencies),
        minimums=frozenset(text.partition("=")[0].strip() for text in settings.minimum_charges),
        payment_methods=("card",) if is_automatic else settings.payment_methods,
        max_clock_offset_s=settings.clock_most_off_s, now_s=now_s,
        platform_ids=platform_ids,
    )  # fmt: skip
