"""Requests that are made to hurt, by chance but the same for the same seed, as bytes for a socket."""

from __future__ import annotations

import base64
import gzip
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

import orjson
import stripe

from tests.support.http_api import CART, SECRETS
from tests.support.webhooks import event
from web.pages.routes import PAGES
from web.routes import ROUTES

if TYPE_CHECKING:
    from random import Random

STREAMS = ("/stream", "/digests", "/boards/changes")
"""They end when their client does."""
TARGETS = sorted(
    {(route.method, route.path) for route in (*ROUTES, *PAGES)}
    | {("GET", path) for path in ("/openapi.json", "/asyncapi.json", "/docs", "/static/style.css")}
    | {("GET", "/static/vendor/htmx.min.js"), ("PUT", "/"), ("DELETE", "/api/restaurants")}
)
HEADERS = [
    b"Tiffin-Worker", b"Tiffin-Partitions", b"Tiffin-Hop", b"Tiffin-Admission", b"Authorization",
    b"Cookie", b"Idempotency-Key", b"Last-Event-ID", b"Consistency-Token", b"traceparent", b"Accept",
    b"Accept-Language", b"Accept-Encoding", b"Content-Type", b"Content-Encoding", b"Origin", b"Expect",
    b"Sec-Fetch-Site", b"X-Forwarded-For", b"X-Forwarded-Proto", b"If-None-Match", b"HX-Request",
    b"Stripe-Signature", b"User-Agent", b"Referer", b"Range", b"Upgrade", b"Transfer-Encoding",
    b"If-Modified-Since", b"Connection", b"X-Odd",
]  # fmt: skip
PIECES = [
    b"\xff", b"\xed\xb2\x80", b"[", b"]", b"\x00", b"\x7f", b'"', b"0" * 5000, b"9" * 5000, b"9e999999",
    b"1e-5000000", b"12,50", b"-1", b"0,1,2", b"%ff", b"%00", b"NaN", b"..", b"\xc3\xa9", b"gzip", b"*",
    b"text/html", b"Bearer ", b"bearer a.b.c", b"null", b"{}", b"a=b; a=c;" * 400, b";" * 3000,
    b"tiffin_order_x=a.b.c; " * 300, b'W/"' * 2000, b"bytes=0-", b"a" * 8000, b" ", b"0",
    b"\xd9\xa1", b"http://[", b"'; drop table", b"<script>", b"{{7*7}}", b"application/json",
    b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"chunked",
    b"text/html;q=0." + b"9" * 3000, b"en;q=" + b"1" * 3000, b"100-continue",
]  # fmt: skip
QUOTED = [quote_from_bytes(piece)[:6000] for piece in PIECES]
NAMES = [
    "limit", "before", "after", "asOf", "from", "to", "by", "state", "q", "order", "partition", "seen",
    "consistencyToken", "lastEventId", "format", "key", "restaurantId", "which", "said", "kind", "v",
    "personal", "next", "refused", "restaurant", "dish", "actor", "subject", "currency",
]  # fmt: skip
NUMBERS = [
    b"1e-5000000", b"1e5000000", b"-1E-99999999999999999999", b"0." + b"0" * 60_000 + b"1", b"9" * 60_000,
    b"1." + b"7" * 60_000, b"1e41", b"-0", b"1e308", b"9223372036854775808", b"1.5", b"true", b"NaN",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostileRequest:
    """One attack. parts: written one after the other; waits: whether an answer is owed."""

    name: str
    parts: tuple[bytes, ...]
    owes: bool = True


class Attacker:
    """Makes requests; `told` is what `served` printed first."""

    def __init__(self, random: Random, told: dict[str, Any]) -> None:
        self._random = random
        self._order = told["order"]["orderId"]
        order_token = told["order"]["orderToken"]
        self._tokens = [
            "", "", told["operator"], told["operator"], told["kitchen"], told["courier"], order_token,
            order_token[:-4] + "AAAA", _token(b"[" * 5000), _token(b'{"exp":' + b"9" * 5000 + b"}"),
            _token(b'{"iss":"tiffin","exp":1e400}'), "é.é.é",
        ]  # fmt: skip
        self._payloads = [
            b"[" * 90, b"[" * 500, b"[" * 200_000, b"{" + b'"a":1,' * 80_000 + b'"b":1}', b" " * 500_000,
            gzip.compress(b" " * 30_000_000), zlib.compress(b"x" * 10_000_000),
        ]  # fmt: skip

    def next(self) -> HostileRequest:
        """One request, or what is none."""
        kinds = [self._request] * 12 + [self._webhook] * 2 + [self._noise, self._partial]
        return self._random.choice(kinds)()

    def _request(self) -> HostileRequest:
        pick = self._random
        method, path = pick.choice(TARGETS)
        lines, body = self._headers(), b""
        if method != "GET" or pick.random() < 0.1:
            body, kind = self._body(path)
            lines.append(b"Content-Type: " + kind)
            lines += self._encoded(body)
            if pick.random() < 0.9:
                lines.append(b"Content-Length: %d" % len(body))
            if pick.random() < 0.8:
                lines.append(b"Idempotency-Key: %020d" % pick.randrange(10**6))
        target = self._target(path)
        owes = not any(part in path for part in STREAMS)
        return HostileRequest(
            f"{method} {path}", (_head(method.encode(), target, lines), body), owes
        )

    def _target(self, path: str) -> bytes:
        pick = self._random
        filled = path
        for name in ("order_id", "restaurant_id", "dish_id", "refund_id", "dispute_id", "action", "step",
                     "notification_id", "dead_letter_id", "table"):  # fmt: skip
            known = {"order_id": self._order, "action": "refund", "step": "accept", "table": "orders",
                     "restaurant_id": str(CART["restaurantId"])}  # fmt: skip
            value = known.get(name, "x") if pick.random() < 0.8 else self._quoted()
            filled = filled.replace(f"{{{name}}}", value)
        query = "&".join(f"{pick.choice(NAMES)}={self._quoted()}" for _ in range(pick.randrange(4)))
        target = (filled + ("?" + query if query else "")).encode()
        return target + pick.choice(PIECES) if pick.random() < 0.03 else target

    def _quoted(self) -> str:
        return self._random.choice(QUOTED)

    def _headers(self) -> list[bytes]:
        pick = self._random
        lines = []
        token = pick.choice(self._tokens)
        if token and pick.random() < 0.8:
            lines.append(b"Authorization: Bearer " + token.encode())
        elif token:
            cookie = f"tiffin_staff={token}; tiffin_order_{self._order[6:]}={token}"
            lines.append(b"Cookie: " + cookie[:8000].encode())
        if pick.random() < 0.4:
            lines.append(b"Accept: text/html")
        count = pick.choice([0, 0, 0, 1, 1, 2, 5, 100])
        lines += [pick.choice(HEADERS) + b": " + pick.choice(PIECES) for _ in range(count)]
        if pick.random() < 0.05:
            lines.append(b"Host: " + pick.choice([b"[", b"evil.example", b"", b"a b", b"\xff"]))
        return lines

    def _body(self, path: str) -> tuple[bytes, bytes]:
        pick = self._random
        if not path.startswith(("/api/", "/webhooks/")) and pick.random() < 0.8:
            fields = [
                "amount",
                "reason",
                "token",
                "next",
                "restaurant",
                "dish",
                "change",
                "cart",
                "email",
            ]
            chosen = [f"{pick.choice(fields)}={self._quoted()}" for _ in range(pick.randrange(70))]
            return "&".join(chosen).encode()[:70_000], b"application/x-www-form-urlencoded"
        made = pick.choice([self._numbers, self._many, self._digits, self._changed, self._chaos])()
        return made[: pick.choice([70_000, 70_000, 2_000])], b"application/json"

    def _numbers(self) -> bytes:
        number = self._random.choice(NUMBERS)
        return self._random.choice(
            [b'{"a":%s}', b"[%s]", b"%s", b'{"orderId":%s}', b'{"items":[%s]}']
        ) % (number)

    def _many(self) -> bytes:
        piece = self._random.choice(
            [b"{},", b"[],", b"1,", b'"",', b'{"a":1},', b'{"quantity":1},']
        )
        inner = piece * self._random.choice([10, 1000, 60_000 // len(piece)])
        return self._random.choice(
            [b"[" + inner + b"1]", b'{"items":[' + inner + b"1]}", b"[" * 30_000, b'{"a":' * 10_000,
             b"{" + b",".join(b'"%d":1' % n for n in range(6000)) + b"}"]
        )  # fmt: skip

    def _digits(self) -> bytes:
        piece = self._random.choice(
            [b"7", b"1 ", b"1   ", b"1-", b"1234567890123x", b"0", "٣".encode()]
        )
        text = piece * (self._random.choice([1000, 3900, 65_000]) // len(piece))
        return orjson.dumps({"note": text.decode(), "restaurantId": "x"})

    def _changed(self) -> bytes:
        """A good body with one value of another kind."""
        body: Any = orjson.loads(orjson.dumps(CART))
        place = self._random.choice([body, body["contact"], body["address"], body["items"][0]])
        place[self._random.choice([*place, "odd"])] = self._random.choice(
            [None, [], {}, "x" * 3000, -1, 2**63, 1.5, True, "4242424242424242", "\u0000", [[[]]]]
        )
        return orjson.dumps(body)

    def _chaos(self) -> bytes:
        return self._random.randbytes(self._random.choice([0, 1, 100, 60_000]))

    def _encoded(self, body: bytes) -> list[bytes]:
        if self._random.random() > 0.08:
            return []
        return [b"Content-Encoding: " + self._random.choice([b"gzip", b"deflate", b"br", b"x"])]

    def _webhook(self) -> HostileRequest:
        pick = self._random
        payload = pick.choice(
            [
                event(self._order, type=pick.choice(["payment_intent.succeeded", "charge.refunded", "x"])),
                event(self._order, data={"object": {"id": pick.choice([1, None, [], "x"])}}),
                *self._payloads, self._numbers(),
            ]
        )  # fmt: skip
        secret = pick.choice([SECRETS[0], "whsec_foreign"])
        signature = stripe.WebhookSignature.generate_signature_header(
            payload.decode(errors="replace"), secret, int(time.time()) - pick.choice([0, 0, 900])
        )
        lines = [b"Content-Length: %d" % len(payload)]
        if pick.random() < 0.9:
            lines.append(b"Stripe-Signature: " + signature.encode())
        if pick.random() < 0.3:
            lines.append(b"Content-Encoding: gzip")
        return HostileRequest("webhook", (_head(b"POST", b"/webhooks/stripe", lines), payload))

    def _noise(self) -> HostileRequest:
        pick = self._random
        noise = pick.choice(
            [pick.randbytes(200), b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50,
             b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000,
             b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
             b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
             b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50]
        )  # fmt: skip
        return HostileRequest("noise", (noise,), owes=False)

    def _partial(self) -> HostileRequest:
        sent = self._request()
        whole = b"".join(sent.parts)
        return HostileRequest(
            f"part of {sent.name}", (whole[: self._random.randrange(len(whole))],), owes=False
        )


def _head(method: bytes, target: bytes, lines: list[bytes]) -> bytes:
    first = [method + b" " + target + b" HTTP/1.1", b"Connection: close"]
    if not any(line.startswith(b"Host:") for line in lines):
        first.append(b"Host: 127.0.0.1")
    return b"\r\n".join([*first, *lines, b"", b""])


def _token(claims: bytes) -> str:
    head = b'{"alg":"HS256"}'
    packed = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (head, claims)]
    return ".".join([*packed, "x"])
