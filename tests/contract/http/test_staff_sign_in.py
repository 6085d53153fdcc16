"""Staff sign in at a real identity provider (the sandbox's), over HTTP: who gets in, and who does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp.test_utils import TestServer
from yarl import URL

from app.sign_in import OpenIdSignIn
from sandbox.identity import IdentityProvider
from tests.support.http_api import Api, MakeApi
from web.http.staff_sessions import StaffSessions
from web.http.tokens import BadTokenError, ClaimNames, DevelopmentStaff, Role

SHOP = "https://shop.example"
KEY = "k" * 32
NAMES = ClaimNames(role="https://shop.example/roles", restaurant_id="place")
ACCOUNTS: dict[str, dict[str, Any]] = {
    "olga": {NAMES.role: ["staff", "operator"]},
    "kim": {NAMES.role: "kitchen", NAMES.restaurant_id: "annapurna-bengaluru"},
    "carl": {NAMES.role: ["courier"]},
    "nobody": {},
    "two-roles": {NAMES.role: ["courier", "operator"]},
    "no-restaurant": {NAMES.role: "kitchen"},
    "other-name": {"role": "operator"},
}


@pytest.fixture(params=[None, "a client: secret+"], ids=["public-client", "client-with-a-secret"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[IdentityProvider]:
    made = IdentityProvider(
        client_secret=request.param, redirect_uri=f"{SHOP}/login/callback", accounts=ACCOUNTS
    )
    async with TestServer(made.application()) as server:
        made.issuer = str(server.make_url("/")).rstrip("/")
        yield made


def client_of(provider: IdentityProvider, **changes: Any) -> OpenIdSignIn:
    described = {
        "issuer": provider.issuer, "client_id": provider.client_id,
        "client_secret": provider.client_secret, "scopes": "openid profile", "public_url": SHOP,
        "key": KEY, "names": NAMES, **changes,
    }  # fmt: skip
    return OpenIdSignIn(**described)


@pytest.fixture
async def site(make_api: MakeApi, provider: IdentityProvider) -> Api:
    return await make_api(
        sign_in=client_of(provider), staff_sessions=(own := StaffSessions(KEY, None)), staff=own
    )


class Browser:
    """Keeps cookies, and goes where it is sent, to the shop and to the provider."""

    def __init__(self, site: Api) -> None:
        self.site = site
        self.cookies: dict[str, str] = {}

    async def get(self, path: str) -> tuple[int, str, str]:
        """Status, where it leads to, and the page."""
        url = URL(path, encoded=True)
        async with self.site.client.get(
            url, cookies=self.cookies, allow_redirects=False
        ) as response:
            self.cookies |= {name: each.value for name, each in response.cookies.items()}
            return response.status, response.headers.get("Location", ""), await response.text()

    async def at_provider(self, address: str, account: str) -> str:
        """Sign in as somebody there; the path at the shop to which it sends back."""
        url = URL(address).update_query(account=account)
        async with self.site.client.session.get(url, allow_redirects=False) as response:
            assert response.status == 302, await response.text()
            back = urlsplit(response.headers["Location"])
        assert f"{back.scheme}://{back.netloc}" == SHOP
        return f"{back.path}?{back.query}"

    async def sign_in(self, account: str, target: str = "") -> tuple[int, str, str]:
        status, address, _ = await self.get(f"/login/start?next={target}")
        assert status == 303
        return await self.get(await self.at_provider(address, account))


@pytest.mark.parametrize(
    ("account", "wanted", "led_to"),
    [
        ("olga", "", "/ops"),
        ("olga", "/ops/stuck", "/ops/stuck"),
        ("olga", "//evil.example/ops", "/ops"),
        ("kim", "", "/kitchen"),
        ("kim", "/ops", "/kitchen"),
        ("carl", "", "/courier"),
    ],
)
async def test_who_is_known_there_comes_in(
    site: Api, account: str, wanted: str, led_to: str
) -> None:
    browser = Browser(site)
    status, address, page = await browser.sign_in(account, wanted)
    assert (status, address) == (303, led_to), page
    assert browser.cookies["tiffin_sign_in"] == ""
    identity = await StaffSessions(KEY, None).verify(browser.cookies["tiffin_staff"])
    assert identity.subject == account
    assert f"/{identity.role}" == led_to or identity.role is Role.OPERATOR
    assert identity.restaurant_id == ("annapurna-bengaluru" if account == "kim" else None)


@pytest.mark.parametrize(
    ("account", "why"),
    [
        ("nobody", "must be kitchen, courier or operator"),
        ("two-roles", "must be kitchen, courier or operator"),
        ("other-name", "must be kitchen, courier or operator"),
        ("no-restaurant", "place: a kitchen&#39;s token must have it"),
        ("unknown", "did not sign you in"),
    ],
)
async def test_who_has_no_role_stays_outside_and_reads_why(
    site: Api, account: str, why: str
) -> None:
    browser = Browser(site)
    status, _, page = await browser.sign_in(account)
    assert status == 200
    assert why in page
    assert "tiffin_staff" not in browser.cookies


async def test_the_page_leads_to_the_provider_and_takes_no_token(site: Api) -> None:
    _, _, page = await Browser(site).get("/login?next=/ops")
    assert 'href="/login/start?next=/ops"' in page
    assert 'name="token"' not in page


async def test_what_is_asked_of_the_provider(site: Api, provider: IdentityProvider) -> None:
    _, first, _ = await Browser(site).get("/login/start")
    _, second, _ = await Browser(site).get("/login/start")
    asked, again = (parse_qs(urlsplit(address).query) for address in (first, second))
    assert first.startswith(f"{provider.issuer}/authorize?")
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["scope"] == ["openid profile"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[name][0]) >= 43
        assert asked[name] != again[name]


async def test_a_callback_counts_in_the_browser_that_began_and_once(site: Api) -> None:
    """Else somebody could be signed in with another's code: as another, or to be watched."""
    victim, attacker = Browser(site), Browser(site)
    _, address, _ = await attacker.get("/login/start")
    callback = await attacker.at_provider(address, "olga")
    status, _, page = await victim.get(callback)  # without any cookie
    assert (status, "tiffin_staff" in victim.cookies) == (200, False), page
    await victim.get("/login/start")
    status, _, page = await victim.get(callback)  # with the cookie of its own sign-in
    assert (status, "tiffin_staff" in victim.cookies) == (200, False), page
    status, _, page = await attacker.get(callback)
    assert status == 303, page
    # The code is used up, and with it the cookie.
    assert (await attacker.get(callback))[0] == 200


async def test_a_stolen_code_is_worth_nothing_without_its_verifier(site: Api) -> None:
    owner, thief = Browser(site), Browser(site)
    _, address, _ = await owner.get("/login/start")
    stolen = parse_qs(urlsplit(await owner.at_provider(address, "olga")).query)["code"][0]
    _, address, _ = await thief.get("/login/start")
    state = parse_qs(urlsplit(address).query)["state"][0]
    status, _, _ = await thief.get(f"/login/callback?state={state}&code={stolen}")
    assert (status, "tiffin_staff" in thief.cookies) == (200, False)


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "another"}, {"aud": "another"}, {"iss": "https://another.example"}, {"exp": 1}],
    ids=["another-sign-in", "another-client", "another-issuer", "ended"],
)
async def test_a_token_that_is_not_for_this_sign_in_is_refused(
    site: Api, provider: IdentityProvider, claims: dict[str, Any]
) -> None:
    provider.accounts = ACCOUNTS | {"olga": ACCOUNTS["olga"] | claims}
    browser = Browser(site)
    status, _, page = await browser.sign_in("olga")
    assert (status, "tiffin_staff" in browser.cookies) == (200, False), page


async def test_a_token_of_a_key_that_is_not_published_is_refused(
    site: Api, provider: IdentityProvider
) -> None:
    await Browser(site).sign_in("olga")  # its keys are known now
    provider.key = IdentityProvider().key
    browser = Browser(site)
    status, _, _ = await browser.sign_in("olga")
    assert (status, "tiffin_staff" in browser.cookies) == (200, False)


async def test_a_provider_that_is_away_or_another_is_503(
    make_api: MakeApi, provider: IdentityProvider, unused_tcp_port: int
) -> None:
    for issuer in (f"http://127.0.0.1:{unused_tcp_port}", f"{provider.issuer}/other"):
        site = await make_api(
            sign_in=client_of(provider, issuer=issuer), staff_sessions=StaffSessions(KEY, None)
        )
        assert (await Browser(site).get("/login/start"))[0] == 503


async def test_without_a_client_there_is_no_such_sign_in(api: Api) -> None:
    for path in ("/login/start", "/login/callback?state=a&code=b"):
        assert (await Browser(api).get(path))[0] == 404


async def test_sessions_are_ours_alone_and_other_tokens_go_to_the_verifier_beside() -> None:
    staff = DevelopmentStaff("d" * 32, sandbox=True)
    sessions, others = StaffSessions(KEY, staff), StaffSessions("o" * 32, staff)
    token = staff.issue(Role.KITCHEN, "kim", "annapurna-bengaluru")
    identity = await sessions.verify(token)
    assert identity.restaurant_id == "annapurna-bengaluru"
    own = sessions.issue(identity)
    assert await sessions.verify(own) == identity
    assert await sessions.customer(own) is None
    with pytest.raises(BadTokenError):
        await others.verify(own)
    with pytest.raises(BadTokenError):
        await StaffSessions(KEY, None).verify(token)
