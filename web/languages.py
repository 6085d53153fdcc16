"""The languages of pages and letters: which one a reader gets, and texts in it, from gettext catalogues.

A text's English is its name in the catalogues, `web/locales/{language}/LC_MESSAGES/tiffin.po`; the compiled
ones lie beside them (`make translations`).
"""

import gettext as catalogues
import json
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from babel.core import Locale, UnknownLocaleError
from markupsafe import Markup, escape

ENGLISH: Final = "en"
LANGUAGES: Final = {ENGLISH: "English", "de": "Deutsch"}
"""Language -> what its speakers call it."""
FOLDER: Final = Path(__file__).parent / "locales"
DOMAIN: Final = "tiffin"
MAX_RANGES: Final = 16
"""Of an Accept-Language header; a browser sends a handful."""
_RANGE: Final = re.compile(
    r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{0,40})?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?"
)

COOKIE: Final = "tiffin_language"
"""Holds the language that a reader has chosen."""
language: Final = ContextVar("language", default=ENGLISH)
"""Of what is being answered or written."""


def chosen(cookie: str, accepted: str, default: str) -> str:
    """The language of a reader: their own choice, else their browser's, else the platform's.

    cookie: what they chose; "" for nothing. accepted: Accept-Language. Unknown ones count as none.
    """
    return cookie if cookie in LANGUAGES else _of_browser(accepted) or default


def named_in(cookies: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
    """The language that a request names; None for none that we have."""
    return chosen(cookies.get(COOKIE, ""), headers.get("Accept-Language", ""), "") or None


@lru_cache(maxsize=256)
def _of_browser(accepted: str) -> str:
    """The best language that a browser names and we have (RFC 9110, 12.5.4); "" for none."""
    best, found = 0.0, ""
    for text in accepted.split(",", MAX_RANGES)[:MAX_RANGES]:
        match = _RANGE.fullmatch(text)
        name, weight = (match[1].lower(), float(match[2] or 1)) if match else ("", 0.0)
        if name in LANGUAGES and weight > best:
            best, found = weight, name
    return found


@cache
def _catalogue(name: str) -> catalogues.NullTranslations:
    """A language's texts. Reads a file once."""
    if name == ENGLISH:
        return catalogues.NullTranslations()
    return catalogues.translation(DOMAIN, FOLDER, [name])


def gettext(text: str, **values: object) -> str:
    """A text in the reader's language, with values at its {names}."""
    found = _catalogue(language.get()).gettext(text) if text else ""
    return found.format(**values) if values else found


def gettext_of(text: str | None) -> str:
    """A text of a table that may lack it: "" for None."""
    return gettext(text) if text else ""


def ngettext(one: str, many: str, n: int, **values: object) -> str:
    """The form for the number n, which stands at {n}."""
    return _catalogue(language.get()).ngettext(one, many, n).format(n=n, **values)


@lru_cache(maxsize=8192)
def _markup(name: str, text: str) -> Markup:
    return escape(_catalogue(name).gettext(text)) if text else Markup()


def markup(text: str, **values: object) -> Markup:
    """What templates call as `_`: the text escaped, and its values unless they are markup already."""
    found = _markup(language.get(), text)
    return _filled(found, values) if values else found


def markup_of_number(one: str, many: str, n: int, **values: object) -> Markup:
    """What templates call as `ngettext`."""
    found = escape(_catalogue(language.get()).ngettext(one, many, n))
    return _filled(found, {"n": n, **values})


def _filled(text: Markup, values: Mapping[str, object]) -> Markup:
    """As `Markup.format` does it, for a third of its time."""
    return Markup(str.format(text, **{name: escape(value) for name, value in values.items()}))  # noqa: S704


def warm() -> None:
    """Read the catalogues before there are requests. Blocks."""
    for name in LANGUAGES:
        _catalogue(name)


@lru_cache(maxsize=256)
def _regional(name: str, locale: str) -> Locale:
    ours = Locale.parse(locale)
    if name == ours.language:
        return ours
    try:
        return Locale.parse(f"{name}_{ours.territory}") if ours.territory else Locale.parse(name)
    except UnknownLocaleError:
        return Locale.parse(name)


def regional(locale: str) -> Locale:
    """The reader's language with this locale's customs where it has them: German for en_IN is de."""
    return _regional(language.get(), locale)


def in_language(name: str | None, write: Callable[[], Any]) -> Any:
    """What write gives, in a language; None is English."""
    token = language.set(name if name in LANGUAGES else ENGLISH)
    try:
        return write()
    finally:
        language.reset(token)


def of_scripts(name: str) -> dict[str, str]:
    """The texts of our scripts in a language; those that are the same are left out."""
    found, texts = _catalogue(name), json.loads((FOLDER / "scripts.json").read_text())
    return {text: words for text in texts if (words := found.gettext(text)) != text}
