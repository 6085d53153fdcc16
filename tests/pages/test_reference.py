"""The reference for developers: anybody reads it, on a phone as well."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.pages.visitor import Visitor, check_accessible, check_fits


@pytest.mark.parametrize("width", [360, 1440])
def test_the_reference_opens_for_anybody(visit: Callable[..., Visitor], width: int) -> None:
    page = visit(width=width).page
    answer = page.goto("/docs")
    assert answer
    assert answer.status == 200
    check_accessible(page)
    check_fits(page)
    page.get_by_role("link", name="Topics", exact=True).click()
    expect(page.get_by_role("heading", name="Topics")).to_be_in_viewport()
