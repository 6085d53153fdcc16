"""The page of the sandbox's mailbox: what came, for people to read."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
"""What is shown was written by others: no scripts, no requests."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Mailbox</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
article {{ border: 1px solid #bbb; border-radius: 8px; padding: .5rem 1rem; margin: 1rem 0 }}
h2 {{ font-size: 1.1rem; margin: 0 }} pre {{ white-space: pre-wrap }} small {{ color: #555 }}
</style></head>
<body><main><h1>Mailbox</h1>
<p>Mail and short messages that the sandbox has sent, the newest first.
<a href="/messages">As JSON</a></p>
{entries}</main></body></html>
"""


def page(messages: Iterable[Mapping[str, Any]]) -> web.Response:
    """All messages, as they are kept, in the order given."""
    entries = "".join(map(_entry, messages)) or "<p>Nothing has come yet.</p>"
    return of(PAGE.format(entries=entries))


def of(text: str) -> web.Response:
    """HTML that others may have written."""
    return web.Response(text=text, content_type="text/html", headers=HEADERS)


def _entry(kept: Mapping[str, Any]) -> str:
    shown = {name: html.escape(str(value)) for name, value in kept.items()}
    as_html = f'<a href="/messages/{shown["number"]}/html">As HTML</a>' if kept["html"] else ""
    return (
        "<article><h2>{subject}</h2><small>{channel} to {to}, {at}<br>{message_id}</small>"
        "<pre>{text}</pre>"
    ).format(**{**shown, "subject": shown["subject"] or "Short message"}) + f"{as_html}</article>\n"
