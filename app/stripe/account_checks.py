"""Checks of the account, the key and the webhook endpoint against the settings: a line each, and what to do.

`faust -A app stripe check` runs them all; a worker does so at its start, apart from those that write.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.stripe.account import AccountAnswer, AccountClient, PermissionDeniedError
from app.stripe.check import Check, CheckState, ExpectedAccount
from app.stripe.endpoint_checks import endpoint_check, types_check, version_check
from app.stripe.errors import GatewayError, InvalidError, MisconfiguredError
from app.stripe.owner_mark import APP, PLATFORM

DEFAULT_APP_ID: Final = "tiffin"
READS: Final = ("payment_intents", "charges", "refunds", "disputes", "events")
"""Lists that a worker reads."""
CAPABILITY_OF: Final = {"us_bank_account": "us_bank_account_ach_payments"}
"""Payment method -> capability of the account, where that is not its name with `_payments`."""
WRITES: Final = ("payment_intents", "refunds")
"""What a worker makes. Tried without any parameter, which Stripe refuses before it makes anything."""


def mark_check(expected: ExpectedAccount) -> Check:
    """Whether the app id tells this platform from others on the account; asks nobody."""
    if expected.app_id != DEFAULT_APP_ID or expected.is_sandbox:
        return Check("mark", CheckState.OK, f"payments are marked with app={expected.app_id}")
    return Check(
        "mark", CheckState.WARNING, f"payments are marked with the default app={expected.app_id}",
        "name the platform in TIFFIN_APP_ID before its first order (never later: it is the consumer group "
        "and names the tables too), or let no other platform use this Stripe account",
    )  # fmt: skip


@dataclass(slots=True)
class AccountChecks:
    """One run of all checks. `run` gives each as it is known; it raises nothing that Stripe does."""

    client: AccountClient
    expected: ExpectedAccount
    with_writes: bool = True
    _events: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    _clock_offset_s: float | None = None

    async def run(self) -> AsyncIterator[Check]:
        """Check all, the key first: without one that Stripe takes nothing else can be told."""
        yield mark_check(self.expected)
        try:
            account: AccountAnswer | None = await self._get("/v1/account")
        except PermissionDeniedError:
            account = None
        except GatewayError as error:
            yield _no_account(error)
            return
        yield Check("key", CheckState.OK, "Stripe accepts the key")
        yield await self._told("rights", self._rights())
        yield await self._told("platforms", self._platforms())
        yield await self._told("mode", self._mode())
        yield _account_check(account, self.expected)
        yield await self._told("currencies", self._currencies(account))
        for check in await self._endpoint_checks():
            yield check
        yield self._clock()

    async def _told(self, name: str, check: Awaitable[Check]) -> Check:
        try:
            return await check
        except PermissionDeniedError as error:
            return _lacks(name, str(error))
        except GatewayError as error:
            return _unasked(name, error)

    async def _get(self, path: str, **params: Any) -> AccountAnswer:
        answer = await self.client.get(path, **params)
        if answer.date_s is not None:
            self._clock_offset_s = self.expected.now_s() - answer.date_s
        return answer

    async def _rights(self) -> Check:
        missing = []
        for listing in READS:
            try:
                answer = await self._get(f"/v1/{listing}", limit=1)
            except PermissionDeniedError as error:
                missing.append(str(error))
            else:
                if listing == "events":
                    self._events = answer.listed
        for resource in WRITES if self.with_writes else ():
            try:
                await self.client.post(f"/v1/{resource}")
            except PermissionDeniedError as error:
                missing.append(str(error))
            except InvalidError:
                pass  # refused for its parameters, so it is allowed
        if missing:
            return Check(
                "rights", CheckState.WRONG, f"the key lacks {', '.join(dict.fromkeys(missing))}",
                "grant it in Stripe's Dashboard, Developers, API keys (docs/stripe.md lists all rights)",
            )  # fmt: skip
        what = "read and write" if self.with_writes else "read"
        return Check("rights", CheckState.OK, f"the key may {what} what a worker does")

    async def _platforms(self) -> Check:
        """By the marks of the newest payments: several ids are several platforms, or a topic that was lost."""
        newest = (await self.client.get("/v1/payment_intents", limit=100)).listed
        marks = [intent.get("metadata") or {} for intent in newest]
        ours = [
            mark[PLATFORM]
            for mark in marks
            if mark.get(APP) == self.expected.app_id and PLATFORM in mark
        ]
        others = {mark[APP] for mark in marks if mark.get(APP) not in {None, self.expected.app_id}}
        found = sorted(set(ours))
        own = self.expected.platform_ids() if self.expected.platform_ids else None
        if own is not None and not own:
            return Check(
                "platforms",
                CheckState.UNKNOWN,
                "this platform's id is not known yet",
                is_unasked=True,
            )
        if own and (strange := [id for id in found if id not in own]):
            return Check(
                "platforms", CheckState.WARNING,
                f"payments bear app={self.expected.app_id} and none of our ids ({', '.join(own)}): "
                f"{', '.join(strange)}",
                "nothing, if another platform made them; if this one did before its topic "
                "platform-identity was lost, put that id back (docs/money.md)",
            )  # fmt: skip
        if own is None and len(found) > 1 and not self.expected.is_sandbox:
            return Check(
                "platforms", CheckState.WARNING,
                f"payments of {len(found)} platforms bear app={self.expected.app_id}: {', '.join(found)}",
                "nothing, if these are two platforms; if one is what this one was before its topic "
                "platform-identity was lost, put that id back (docs/money.md)",
            )  # fmt: skip
        beside = f", others: {', '.join(sorted(others))}" if others else ""
        words = found[0] if found else "none has a mark with an id yet"
        return Check("platforms", CheckState.OK, f"the newest payments' platform: {words}{beside}")

    async def _mode(self) -> Check:
        """By what Stripe's objects say: the key's prefix is what the settings go by."""
        listed = self._events or (await self.client.get("/v1/payment_intents", limit=1)).listed
        told = {bool(thing["livemode"]) for thing in listed}
        words = "live: real money moves" if self.expected.livemode else "test: no real money moves"
        if told - {self.expected.livemode}:
            return Check(
                "mode", CheckState.WRONG, f"the settings say {words}, and Stripe's objects the contrary",
                "set TIFFIN_STRIPE_SECRET_KEY and TIFFIN_STRIPE_PUBLISHABLE_KEY to the keys of one mode",
            )  # fmt: skip
        return Check("mode", CheckState.OK, words)

    async def _currencies(self, account: AccountAnswer | None) -> Check:
        if account is None:
            return _unread("currencies")
        country, default = account.data.get("country"), str(account.data.get("default_currency"))
        spec = (await self.client.get(f"/v1/country_specs/{country}")).data
        wanted = {code.lower() for code in self.expected.currencies}
        names = ", ".join(sorted(self.expected.currencies))
        if refused := sorted(wanted - set(spec["supported_payment_currencies"])):
            return Check(
                "currencies", CheckState.WRONG,
                f"an account in {country} can't charge {', '.join(refused).upper()}",
                "price those menus in another currency, or use an account of another country",
            )  # fmt: skip
        paid_out = {default, *spec["supported_bank_account_currencies"]}
        bounded = {code.lower() for code in self.expected.minimums}
        if converted := sorted(wanted - paid_out - bounded):
            return Check(
                "currencies", CheckState.WARNING,
                f"{', '.join(converted).upper()} is converted to {default.upper()} for the payout, and "
                "has no minimum charge", "set TIFFIN_MINIMUM_CHARGES (docs/money.md)",
            )  # fmt: skip
        return Check("currencies", CheckState.OK, f"the account can charge {names}")

    async def _endpoint_checks(self) -> Sequence[Check]:
        try:
            endpoints = (await self.client.get("/v1/webhook_endpoints", limit=100)).listed
        except PermissionDeniedError as error:
            return [_lacks(name, str(error)) for name in ("endpoint", "types", "version")]
        except GatewayError as error:
            return [_unasked(name, error) for name in ("endpoint", "types", "version")]
        found, ours = endpoint_check(endpoints, self.expected)
        if not ours:
            return [found]
        default = self._events[0].get("api_version") if self._events else None
        return [
            found,
            types_check(ours),
            version_check(ours[0].get("api_version"), self.expected.api_version, default),
        ]

    def _clock(self) -> Check:
        offset_s = self._clock_offset_s
        if offset_s is None:
            return Check("clock", CheckState.UNKNOWN, "Stripe did not tell its time")
        if abs(offset_s) <= self.expected.max_clock_offset_s:
            return Check("clock", CheckState.OK, "our clock agrees with Stripe's")
        way = "ahead of" if offset_s > 0 else "behind"
        return Check(
            "clock", CheckState.WRONG, f"our clock is {abs(offset_s):.0f} s {way} Stripe's",
            "set it (NTP): signatures of webhooks are refused by their age",
        )  # fmt: skip


def _unasked(name: str, error: GatewayError) -> Check:
    words = f"Stripe can't be asked: {error.code}"
    return Check(name, CheckState.UNKNOWN, words, is_unasked=True)


def _no_account(error: GatewayError) -> Check:
    if not isinstance(error, MisconfiguredError):
        return Check(
            "key", CheckState.UNKNOWN, f"Stripe can't be asked: {error.code}",
            "try again; is TIFFIN_STRIPE_API_URL right, and may this machine reach it?", is_unasked=True,
        )  # fmt: skip
    return Check(
        "key", CheckState.WRONG, f"Stripe refuses the key: {error.code}",
        "set TIFFIN_STRIPE_SECRET_KEY to a key of Stripe's Dashboard, Developers, API keys",
    )  # fmt: skip


def _lacks(name: str, permission: str) -> Check:
    return Check(
        name, CheckState.UNKNOWN, f"the key lacks {permission}",
        "grant it in Stripe's Dashboard, Developers, API keys, or run this with another key",
    )  # fmt: skip


def _unread(name: str) -> Check:
    return _lacks(name, "connected_account_read, to read the account")


def _account_check(account: AccountAnswer | None, expected: ExpectedAccount) -> Check:
    if account is None:
        return _unread("account")
    known = account.data.get("capabilities") or {}
    wanted = [
        CAPABILITY_OF.get(method, f"{method}_payments") for method in expected.payment_methods
    ]
    states = {name: known.get(name, "not requested") for name in wanted}
    inactive = [f"{name} is {state}" for name, state in states.items() if state != "active"]
    name = f"{account.data['id']}, {account.data.get('country')}, {account.data.get('default_currency')}"
    if not inactive and account.data.get("charges_enabled"):
        return Check(
            "account", CheckState.OK, f"{name}: takes {', '.join(expected.payment_methods)}"
        )
    why = ", ".join(inactive) or "charges are not enabled"
    todo = "complete the account in Stripe's Dashboard, Settings, Business"
    if expected.livemode:
        return Check("account", CheckState.WRONG, f"{name}: {why}", todo)
    words = f"{name}: {why}; test payments work all the same"
    return Check("account", CheckState.WARNING, words, f"{todo}, before the first live payment")
