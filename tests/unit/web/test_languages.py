"""Languages: who reads what, and that no text of a page, a letter or a script lacks its translation."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from models.graphs import DeliveryStatus, OrderStatus, PaymentStatus, RefundStatus
from models.notification import NotificationStatus
from sandbox import translations
from web import languages
from web.pages import formats
from web.pages.render import TEMPLATES

FIELD = re.compile(r"\{[a-z_]*\}")
JINJA = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
SHOWN = ("aria-label", "placeholder", "alt", "title", "data-busy")
SAME_EVERYWHERE = {
    "Tiffin", "Stripe", "T+ms", "faust -A app skip", "--dry-run", "order_…", "operator:alice", "demo",
}  # fmt: skip
"""Names, and what is typed as it stands."""


@pytest.mark.parametrize(
    ("cookie", "accepted", "wanted"),
    [
        ("", "", "en"),
        ("", "de", "de"),
        ("", "de-AT,de;q=0.9,en;q=0.8", "de"),
        ("", "fr,en;q=0.7,de;q=0.9", "de"),
        ("", "fr-FR, fr;q=0.9", "en"),
        ("", "de;q=0, en;q=0.1", "en"),
        ("", "en, de", "en"),
        ("de", "en", "de"),
        ("en", "de", "en"),
        ("xx", "de", "de"),
        ("../de", "*;q=0.5", "en"),
        ("", "de;q=9" * 4000, "en"),
        ("", ",;=,\x00", "en"),
    ],
)
def test_a_reader_gets_their_own_choice_then_their_browsers(
    cookie: str, accepted: str, wanted: str
) -> None:
    assert languages.chosen(cookie, accepted, "en") == wanted


def test_the_platforms_language_is_for_those_who_name_none() -> None:
    assert languages.chosen("", "", "de") == languages.chosen("", "fr", "de") == "de"
    assert languages.chosen("", "en", "de") == "en"


def test_every_text_has_a_translation_and_the_files_are_as_they_are_made() -> None:
    """Else: `make translations`, then write what it names into the .po, then once more."""
    for path, content in translations.files().items():
        assert path.read_bytes() == content, f"{path.name} is old: make translations"
    for path, catalog in translations.catalogues():
        assert translations.missing(catalog) == [], path


def test_translations_have_the_same_places_for_values() -> None:
    for _, catalog in translations.catalogues():
        for message in catalog:
            if message.id:
                both = "".join(translations.as_tuple(message.id))
                for text in translations.as_tuple(message.string):
                    assert set(FIELD.findall(text)) <= set(FIELD.findall(both)), text
                    assert set(FIELD.findall(both)) - {"{n}"} <= set(FIELD.findall(text)), text


class Words(HTMLParser):
    """The words of a template that stand there untranslated."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"code", "style"}:
            self._inside.append(tag)
        self.found += [value for name, value in attrs if name in SHOWN and value]

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.found.append(data)


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted(TEMPLATES.glob("*.html"))
        if path.name not in translations.ENGLISH_ONLY
    ],
    ids=lambda path: path.stem,
)
def test_no_text_of_a_template_stands_there_untranslated(path: object) -> None:
    assert isinstance(path, type(TEMPLATES))
    words = Words()
    text = re.sub(r"\{% block (home|body_class) %\}[^{]*\{% endblock %\}", "", path.read_text())
    words.feed(JINJA.sub("", text))
    shown = [re.sub("|".join(map(re.escape, SAME_EVERYWHERE)), "", each) for each in words.found]
    assert [each.strip() for each in shown if re.search(r"[^\W\d_]{2}", each)] == []


def test_every_state_that_operators_read_has_words() -> None:
    codes = (*OrderStatus, *PaymentStatus, *DeliveryStatus, *RefundStatus, *NotificationStatus)
    lacking = {code.replace("_", " ").capitalize() for code in codes} - set(formats.CODE_TEXTS)
    assert lacking == set()


def test_money_and_times_are_written_as_the_reader_does() -> None:
    def shown() -> list[str]:
        day = "2020-03-05T14:05:00.000Z"
        return [formats.money_text(123_456, "EUR"), formats.clock(day), formats.state("CANCELLED")]

    english = languages.in_language("en", shown)
    assert english == ["€1,234.56", "5 Mar 2020, 14:05 UTC", "Cancelled"]
    german = languages.in_language("de", shown)
    assert german == ["1.234,56\N{NO-BREAK SPACE}€", "5. März 2020, 14:05 UTC", "Storniert"]
    assert languages.language.get() == "en", "what was before"


def test_values_are_escaped_and_markup_is_not() -> None:
    text = "Order {reference}"
    assert languages.markup(text, reference="<b>") == "Order &lt;b&gt;"
    assert languages.markup(text, reference=formats.mono("7K")) == (
        'Order <span class="mono strong">7K</span>'
    )
    assert isinstance(languages.markup("Total"), Markup)
    one, many = "{n} dish", "{n} dishes"
    assert languages.markup_of_number(one, many, 1) == "1 dish"
    german = languages.in_language("de", lambda: languages.markup_of_number(one, many, 2))
    assert german == "2 Gerichte"
