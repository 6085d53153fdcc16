"""What pages are made of, without a browser: carts, money, words, pictures, policies, vendored files."""

import re
from pathlib import Path

import pytest

import web
from web.http.deps import StripeOrigins
from web.pages.assets import FOLDER, Assets
from web.pages.formats import exact, money_text
from web.pages.render import make_environment, policy


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (250000, "INR", "₹2,500.00"),
        (12345678, "INR", "₹1,23,456.78"),
        (980, "JPY", "¥980"),
        (1450, "USD", "$14.50"),
        (8500, "JOD", "JOD\u00a08.500"),
        (2_500_000, "UGX", "UGX\u00a025,000"),
        (150_000, "ISK", "ISK\u00a01,500"),
        (1045, "HUF", "HUF\u00a010.45"),
        (1050, "LBP", "LBP\u00a010.50"),
        (1050, "RSD", "RSD\u00a010.50"),
        (1050, "MGA", "MGA\u00a01,050"),
        (-1050, "ISK", "-ISK\u00a010.50"),
    ],
)
def test_amounts_are_written_as_their_people_do(amount: int, currency: str, text: str) -> None:
    assert money_text(amount, currency) == text


def test_policies_let_in_nothing_inline() -> None:
    for each in (policy(), policy(StripeOrigins()), policy(StripeOrigins.stand_in("http://h:1/x"))):
        assert "unsafe" not in each
        assert "data:" not in each.split("script-src")[1].split(";")[0]
        assert each.startswith("default-src 'none';")
    assert "https://js.stripe.com" not in policy()
    assert "frame-src 'none'" in policy()


def test_templates_have_no_inline_scripts_styles_or_handlers() -> None:
    engine = make_environment(Assets())
    for name in engine.list_templates():
        source = (FOLDER.parent / "templates" / name).read_text()
        engine.get_template(name)
        for tag in re.findall(r"<script[^>]*>", source):
            assert "src=" in tag or 'type="application/json"' in tag, name
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|hx-on|hx-vals='js", source), name


def test_evidence_gives_each_time_with_its_date_and_zone() -> None:
    template = (Path(web.__file__).parent / "templates" / "evidence.html").read_text()
    assert "|time" not in template
    assert "|clock" not in template
    shown = exact("2026-11-26T10:05:07.000Z")
    assert all(part in shown for part in ("2026", "Nov", "26", "05:07", "UTC")), shown
