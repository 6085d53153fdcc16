"""Where the sign-in leads."""

from __future__ import annotations

import pytest

from web.pages.staff.login import own_path


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("/kitchen", "/kitchen"),
        ("//evil.example", ""),
        ("/\\evil.example", ""),
        ("https://evil.example", ""),
        ("/ops\r\nSet-Cookie: a=b", ""),
        ("", ""),
    ],
)
def test_after_signing_in_nobody_is_led_to_another_site(asked: str, given: str) -> None:
    assert own_path(asked) == given
