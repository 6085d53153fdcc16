"""Keeps the catalogues of translations: takes the texts out of templates, scripts and tables, and compiles.

    python -m sandbox.translations           # after a text has changed: then write what is missing in the .po
    python -m sandbox.translations --check   # says what is missing or old, and changes nothing

What readers see stands in templates as `_("...")`, in scripts as `t("...")`, in Python as `gettext("...")` or
in the tables of `TABLES`, which are translated where they are shown.
"""

import ast
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "web" / "locales"
SCRIPTS: Final = FOLDER / "scripts.json"
"""The texts that scripts may ask for: theirs, and why a payment failed."""
DECLINES: Final = "models/declines.py"
TABLES: Final = {
    DECLINES: ("GENERIC", "WORDS"),
    "app/notifications/rendering.py": ("CANCELLATION_TEXTS", "DEFAULT_GREETING_NAME"),
    "models/money_checks.py": ("VIOLATION_DESCRIPTIONS",),
    "web/pages/errors.py": (
        "STAFF_HOMES", "HOME_TEXT", "PROBLEM_TEXTS", "BUSY", "BUSY_FOR_LONG", "BUSY_AFTER_FORM", "NOT_HERE_YET",
        "BROKEN", "BROKEN_FORM",
    ),
    "web/pages/formats.py": ("ORDER_STATUS_TEXTS", "CODE_TEXTS"),
    "web/pages/ops/notifications.py": ("STATES", "KINDS", "CHANNELS", "NO_ORDER_TEXT"),
    "web/pages/ops/order.py": ("REFUND_REASONS", "DONE_TEXTS", "NO_PAYMENT_TEXT", "NO_STRIPE_TEXT"),
    "web/pages/ops/overview.py": ("CONCERN_TEXTS",),
    "web/pages/ops/search.py": ("MATCH_TEXTS",),
    "web/pages/shop/checkout.py": ("FIELDS", "CARD_NUMBER_TEXT", "CANT_ORDER", "BUSY_KITCHENS", "NOTICES"),
    "web/pages/shop/order_progress.py": (
        "HEADLINES", "STEPS", "CANCEL_REASONS", "WHY_CANCELLED", "WHY_REJECTED", "REFUND_DURATION_TEXT",
        "REFUND_WORDS", "REFUND_REQUIRES_ACTION_TEXT", "CHECKING_TEXTS",
    ),
    "web/pages/staff/boards.py": (
        "COLUMNS", "BUTTONS", "REJECT_REASONS", "REFUSAL_TEXTS", "TRY_AGAIN_TEXT", "PENDING_TEXT",
    ),
    "web/pages/staff/kitchen_history.py": ("STATUS_TEXTS",),
    "web/pages/staff/login.py": ("NAMES",),
}  # fmt: skip
"""File -> its tables of texts; a table's codes (BUSY, card_declined, info) are none."""
CODE: Final = re.compile(r"[A-Z0-9_]+|[a-z][A-Za-z0-9_.]*")
ENGLISH_ONLY: Final = ("reference.html", "evidence.html")
"""For developers and for Stripe: what they are made of is English."""
SOURCES: Final = (
    ("web/templates/*.html", "jinja2", {"_": None, "ngettext": (1, 2)}),
    ("app/notifications/templates/mail/*", "jinja2", {"_": None, "ngettext": (1, 2)}),
    ("web/pages/**/*.py", "python", {"gettext": None, "ngettext": (1, 2)}),
    ("app/notifications/*.py", "python", {"gettext": None}),
    ("web/static/*.js", "javascript", {"t": None}),
)


def texts_of_tables(path: str, names: tuple[str, ...]) -> Iterator[str]:
    """The texts in a file's tables."""
    for node in ast.parse((ROOT / path).read_text()).body:
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            continue
        if not (isinstance(node.target, ast.Name) and node.target.id in names):
            continue
        inside = list(ast.walk(node.value))
        keys = {id(key) for each in inside if isinstance(each, ast.Dict) for key in each.keys}
        for each in inside:
            text = each.value if isinstance(each, ast.Constant) else None
            if isinstance(text, str) and text and id(each) not in keys and not CODE.fullmatch(text):
                yield text


def taken_out() -> tuple[Catalog, list[str]]:
    """All texts, and those that scripts may ask for."""
    catalog, scripts = Catalog(project="tiffin", charset="utf-8"), list[str]()
    for pattern, method, keywords in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.name in ENGLISH_ONLY or not path.is_file():
                continue
            options = {"trimmed": "true", "silent": "false"}
            found = extract(method, io.BytesIO(path.read_bytes()), keywords, options=options)
            for _, message, _, _ in found:
                catalog.add(message, locations=[(path.relative_to(ROOT).as_posix(), 0)])
                scripts += [str(message)] if method == "javascript" else []
    for name, names in TABLES.items():
        for text in texts_of_tables(name, names):
            catalog.add(text, locations=[(name, 0)])
            scripts += [text] if name == DECLINES else []
    return catalog, sorted(set(scripts))


def catalogues() -> Iterator[tuple[Path, Catalog]]:
    """Each language's file, and what it says now, brought up to date with the texts."""
    template, _ = taken_out()
    for path in sorted(FOLDER.glob("*/LC_MESSAGES/tiffin.po")):
        with path.open("rb") as file:
            known = read_po(file, locale=path.parts[-3])
        known.update(template, no_fuzzy_matching=True)
        known.obsolete.clear()
        yield path, known


def written(catalog: Catalog) -> bytes:
    """A catalogue's file. Without line numbers and dates, which would change with every commit."""
    file = io.BytesIO()
    write_po(file, catalog, width=100, omit_header=False, include_lineno=False, sort_output=True)
    return re.sub(
        rb'"(POT-Creation|PO-Revision)-Date:[^\n]*\n|"Generated-By:[^\n]*\n', b"", file.getvalue()
    )


class StableCatalog(Catalog):
    """Its head says nothing of times and versions, which would change the file and mean nothing."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        """What gettext needs."""
        return [
            ("Content-Type", "text/plain; charset=utf-8"), ("Plural-Forms", self.plural_forms)
        ]  # fmt: skip


def compiled(catalog: Catalog) -> bytes:
    """As gettext reads it."""
    stable, file = StableCatalog(locale=catalog.locale), io.BytesIO()
    for message in catalog:
        if message.id:
            stable.add(message.id, message.string)
    write_mo(file, stable)
    return file.getvalue()


def missing(catalog: Catalog) -> list[str]:
    """The texts that a language lacks."""
    return [str(each.id) for each in catalog if each.id and not all(as_tuple(each.string))]


def as_tuple(text: object) -> tuple[str, ...]:
    """A message's forms."""
    return tuple(text) if isinstance(text, (tuple, list)) else (str(text or ""),)


def files() -> dict[Path, bytes]:
    """Every file that is made, as it ought to be."""
    _, scripts = taken_out()
    made = {SCRIPTS: (json.dumps(scripts, indent=1, ensure_ascii=False) + "\n").encode()}
    for path, catalog in catalogues():
        # Read again: what is compiled is what the file says, whatever Babel keeps beside it.
        text = written(catalog)
        made |= {
            path: text,
            path.with_suffix(".mo"): compiled(read_po(io.BytesIO(text), locale=path.parts[-3])),
        }
    return made


def main() -> int:
    """Make the files, or with --check compare them."""
    is_check, status = "--check" in sys.argv[1:], 0
    for path, content in files().items():
        if is_check and (not path.exists() or path.read_bytes() != content):
            print(
                f"{path.relative_to(ROOT)} is old: python -m sandbox.translations", file=sys.stderr
            )
            status = 1
        elif not is_check:
            path.write_bytes(content)
    for path, catalog in catalogues():
        for text in missing(catalog):
            print(f"{path.relative_to(ROOT)}: no translation of {text}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
