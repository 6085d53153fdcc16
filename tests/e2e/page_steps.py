"""Takes steps on a page as a document words them: "press **Refund**", "put `45` into **Amount**"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

STEP: Final = re.compile(
    r"""open[ ](?P<open>http[^\s,]+)
    |choose[ ]\*\*(?P<option>[^*]+)\*\*[ ]as[ ]\*\*(?P<list>[^*]+)\*\*
    |choose[ ]\*\*(?P<radio>[^*]+)\*\*
    |put[ ](?P<text>`[^`]+`|the[ ]order's[ ]id)[ ]into[ ]\*\*(?P<field>[^*]+)\*\*
    |press[ ]\*\*(?P<press>[^*]+)\*\*
    |under[ ]\*\*(?P<group>[^*]+)\*\*[ ]stands[ ]`(?P<shown>[^`]+)`""",
    re.VERBOSE | re.IGNORECASE,
)


def take(page: Page, text: str, order_id: str) -> int:
    """Take each step of a text in turn; gives how many there were."""
    steps = list(STEP.finditer(text))
    for step in steps:
        _take(page, step.groupdict(), order_id)
    return len(steps)


def _take(page: Page, step: dict[str, str | None], order_id: str) -> None:
    match step:
        case {"open": str(url)}:
            page.goto(url)
        case {"option": str(option), "list": str(name)}:
            page.get_by_label(name).select_option(label=option)
        case {"radio": str(name)}:
            page.get_by_role("radio", name=name).check()
        case {"text": str(value), "field": str(name)}:
            given = value.strip("`") if value.startswith("`") else order_id
            page.get_by_placeholder(name).or_(page.get_by_label(name)).fill(given)
        case {"press": str(name)}:
            button = page.get_by_role("button", name=name, exact=True)
            button.or_(page.get_by_role("link", name=name, exact=True)).click()
        case {"group": str(name), "shown": str(value)}:
            expect(page.get_by_role("group", name=name)).to_contain_text(value)
