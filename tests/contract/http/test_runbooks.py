"""Every worker serves the runbooks, and whatever is of concern leads to its own."""

from __future__ import annotations

import re

import pytest

from tests.support.http_api import HTML, Api
from tests.support.monitoring import RUNBOOKS
from tests.support.operations import page_of
from web.ops.overview import RUNBOOK_NAMES, RUNBOOKS_PATH
from web.pages.ops.overview import CONCERN_TEXTS
from web.pages.ops.runbooks import address, documents

LINK = re.compile(r'href="([^"]+)"')


def test_every_concern_has_a_runbook_that_is_served() -> None:
    assert set(CONCERN_TEXTS) <= set(RUNBOOK_NAMES)
    assert set(RUNBOOK_NAMES.values()) <= {path.stem for path in RUNBOOKS.glob("*.md")}


async def test_every_runbook_is_a_page_whose_links_lead_somewhere(api: Api) -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} <= set(documents())
    pages = {}
    for name in documents():
        async with page_of(api, address(name)) as page:
            pages[address(name)] = page[page.index("<article") : page.index("</article>")]
    for path, article in pages.items():
        assert "<h1" in article
        for link in LINK.findall(article):
            at, _, anchor = link.partition("#")
            if at.startswith("https://"):
                continue
            assert (at or path) in pages, f"{path} leads to {link}"
            assert not anchor or f'id="{anchor}"' in pages[at or path], f"{path} leads to {link}"


async def test_a_runbook_says_what_the_file_says(api: Api) -> None:
    async with page_of(api, "/ops/runbooks/dead-letters") as page:
        assert '<h2 id="what-to-do">What to do</h2>' in page
        assert "<code>faust -A app dead-letters redrive NAME --dry-run</code>" in page
        assert "alerts.yml" in page
    async with page_of(api, RUNBOOKS_PATH) as page:
        assert page.count(f'<a href="{RUNBOOKS_PATH}/') >= len(list(RUNBOOKS.glob("*.md"))) - 1


@pytest.mark.parametrize("name", ["nonesuch", "README.md", "..%2Fmoney", "%2Fetc%2Fpasswd"])
async def test_only_those_documents_are_served(api: Api, name: str) -> None:
    headers = HTML | {"Authorization": f"Bearer {api.operator}"}
    async with api.client.get(f"/ops/runbooks/{name}", headers=headers) as answer:
        assert answer.status == 404


async def test_runbooks_are_for_operators(api: Api) -> None:
    async with api.client.get(RUNBOOKS_PATH, headers=HTML, allow_redirects=False) as answer:
        assert answer.status == 303
