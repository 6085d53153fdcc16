"""Static files: read once at start, packed once, named by what they hold so that browsers keep them.

`/static/style.css?v=1a2b3c4d` may be cached for a year: another content has another address.
"""

import base64
import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from aiohttp import web

from web.http.problems import ProblemError

FOLDER: Final = Path(__file__).parent.parent / "static"
PACKED: Final = frozenset({".css", ".js", ".svg", ".txt", ".webmanifest", ".md"})
"""Worth compressing; fonts are already."""
VENDORED: Final = "vendor/"
"""Files of others carry their version in their names."""
PLAIN_DISH: Final = "dishes/cuisine-plain.svg"
IMMUTABLE: Final = "public, max-age=31536000, immutable"
TYPES: Final = {
    ".woff2": "font/woff2", ".js": "text/javascript", ".webmanifest": "application/manifest+json",
}  # fmt: skip


@dataclass(frozen=True)
class Asset:
    """One file, ready to be sent."""

    content: bytes
    content_type: str
    is_packable: bool

    @cached_property
    def version(self) -> str:
        """What its address carries."""
        return hashlib.sha256(self.content).hexdigest()[:12]

    @cached_property
    def integrity(self) -> str:
        """For the `integrity` attribute of whoever includes it."""
        return "sha384-" + base64.b64encode(hashlib.sha384(self.content).digest()).decode()

    @cached_property
    def packed(self) -> bytes:
        """Compressed; the same bytes each time."""
        return gzip.compress(self.content, 9, mtime=0)

    def response(self, request: web.Request, *, is_exact: bool = False) -> web.Response:
        """The whole file, compressed where the browser takes that, or 304.

        is_exact: this address will never have another content.
        """
        known = request.if_none_match or ()
        if any(tag.value in {self.version, "*"} for tag in known):
            response = web.Response(status=304)
        else:
            is_packed = self.is_packable and "gzip" in request.headers.get("Accept-Encoding", "")
            response = web.Response(body=self.packed if is_packed else self.content)
            response.headers["Content-Type"] = self.content_type
            if is_packed:
                response.headers["Content-Encoding"] = "gzip"
        if self.is_packable:
            response.headers["Vary"] = "Accept-Encoding"
        is_exact = is_exact or request.query.get("v") == self.version
        response.headers["Cache-Control"] = IMMUTABLE if is_exact else "public, no-cache"
        response.etag = self.version
        return response


class Assets:
    """All static files by their path in the folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Reads every file; blocks."""
        self.by_name: Mapping[str, Asset] = {
            path.relative_to(folder).as_posix(): asset_of(path.read_bytes(), path.suffix)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def url(self, name: str) -> str:
        """The address of a file. Raises KeyError for one that is not there."""
        return f"/static/{name}?v={self.by_name[name].version}"

    def dish_picture(self, dish_id: str, cuisine: str) -> str:
        """The address of a dish's picture; a dish without one shares its cuisine's, or a plain plate."""
        slug = cuisine.lower().replace(" ", "-")
        names = (f"dishes/{dish_id}.svg", f"dishes/cuisine-{slug}.svg", PLAIN_DISH)
        return self.url(next(name for name in names if name in self.by_name))

    def integrity(self, name: str) -> str:
        """The hash of a file. Raises KeyError."""
        return self.by_name[name].integrity

    def response(self, request: web.Request, name: str) -> web.Response:
        """A file as an answer. Raises ProblemError (404)."""
        if name not in self.by_name:
            raise ProblemError("NOT_FOUND")
        return self.by_name[name].response(request, is_exact=name.startswith(VENDORED))


def asset_of(content: bytes, suffix: str) -> Asset:
    """An asset of a file with this suffix (".css")."""
    kind = TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    is_text = kind.startswith("text/") or kind.endswith(("xml", "json"))
    return Asset(content, f"{kind}; charset=utf-8" if is_text else kind, suffix in PACKED)
