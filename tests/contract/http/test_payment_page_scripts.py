"""The payment page runs the scripts of the inventory in docs/pci.md, as they were reviewed, and no other."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.contract.http.test_every_page import order_in
from tests.support.http_api import HTML, Api
from web.http.deps import StripeOrigins
from web.pages.assets import FOLDER

DOCUMENT = Path(__file__).parents[3] / "docs" / "pci.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["']([^"']+)["']""")
MAKES_SCRIPTS = re.compile(
    r"""\beval\b|\bnew Function\b|createElement\(\s*["']script|importScripts|innerHTML|document\.write"""
)
STRIPE = StripeOrigins().script_url


class Scripts(HTMLParser):
    """The scripts of a page: addresses, and what stands between tags without one."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._is_inline = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "script" and found.get("src"):
            self.addresses.append(str(found["src"]))
        self._is_inline = (
            tag == "script" and not found.get("src") and found.get("type") != "application/json"
        )
        for name, text in found.items():
            if name.startswith("on") or (text or "").lstrip().lower().startswith("javascript:"):
                self.inline.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._is_inline:
            self.inline.append(data)


def inventory() -> dict[str, str]:
    """Script -> how its integrity is known, as the document has it."""
    return {name: integrity for name, _, integrity in ROW.findall(DOCUMENT.read_text())}


def hash_of(name: str) -> str:
    digest = hashlib.sha384((FOLDER / name).read_bytes()).digest()
    return f"sha384-{base64.b64encode(digest).decode()}"


def with_imports(names: set[str]) -> set[str]:
    """Files of ours, and all that they import."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        imported = IMPORT.findall((FOLDER / name).read_text())
        assert all(each.startswith("./") for each in imported), f"{name} imports from elsewhere"
        waiting |= {each.removeprefix("./") for each in imported} - found
    return found


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("state", ["open", "declined", "paid"])
async def test_the_page_loads_the_scripts_of_the_inventory_and_no_other(
    api: Api, state: str, language: str
) -> None:
    order_id, token = await order_in(api, state)
    headers = {**HTML, "Authorization": f"Bearer {token}", "Accept-Language": language}
    path = f"/orders/{order_id}/pay"
    async with api.client.get(path, headers=headers, allow_redirects=False) as answer:
        text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        if state == "paid":
            assert answer.status == 303, "a paid order has no page that takes a card"
            return
    scripts = Scripts(text)
    assert scripts.inline == []
    stripe = {address for address in scripts.addresses if address == STRIPE}
    own = {urlsplit(address).path for address in scripts.addresses if address not in stripe}
    assert all(path.startswith("/static/") for path in own), own
    loaded = with_imports({path.removeprefix("/static/") for path in own}) | stripe
    assert loaded == set(inventory()), "docs/pci.md lists what may run where a card is entered"
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"].split() == ["'self'", *StripeOrigins().script]
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", sorted(inventory()))
def test_a_script_has_the_content_that_the_inventory_says(name: str) -> None:
    said = inventory()[name]
    if name == STRIPE:
        assert "no hash" in said
    else:
        assert said.strip("` ") == hash_of(name), (
            f"{name} has changed: review it, then write its hash"
        )


@pytest.mark.parametrize("name", sorted(set(inventory()) - {STRIPE}))
def test_a_script_of_ours_makes_no_other(name: str) -> None:
    assert not MAKES_SCRIPTS.search((FOLDER / name).read_text())


def test_a_script_that_is_not_in_the_inventory_is_found() -> None:
    page = '<p onclick="x()"><script src="/static/a.js"></script><script>x()</script>'
    found = Scripts(page + '<script type="application/json">{}</script><a href="javascript:x()">')
    assert found.addresses == ["/static/a.js"]
    assert found.inline == ["p onclick", "x()", "a href"]


def test_no_other_page_lets_stripe_in() -> None:
    sources = FOLDER.parent.rglob("*.py")
    lets_in = {path.name for path in sources if re.search(r"[ (]stripe=stripe\b", path.read_text())}
    assert lets_in == {"payment.py"}
