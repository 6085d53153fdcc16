"""Server-sent events: how streams are counted, kept alive and ended."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from tables import NotOwnerError, NotReadyError
from web.http.problems import ProblemError
from web.http.rate_limits import counted

HEARTBEAT_S: Final = 5.0
"""At least so often something is sent: well within the forwarder's bound between two chunks, and how a
page knows that its stream lives (web/static/sse.js). Also how soon one that was left is noticed."""
MAX_STREAM_AGE_S: Final = 1800.0
"""Then the browser makes the stream anew, and is asked anew who it is."""
RETRY_MS: Final = 1000
MAX_STREAMS_PER_OWNER: Final = 32
"""Of one order, or of one member of the staff. Browsers hold four at most, see sse.js."""
MAX_STREAMS: Final = 5000
"""At one worker."""
RETRY_AFTER_FULL_S: Final = 30


class StreamEvent(NamedTuple):
    """name: what the page listens for. id: where a stream that is made anew goes on."""

    name: str
    data: str
    id: str | None = None


HEARTBEAT: Final = StreamEvent("beat", "")


class EventStream(NamedTuple):
    """A stream to be sent. whose: who it is counted for. events: see `Streams.send`."""

    whose: str
    events: AsyncGenerator[StreamEvent | None]


class Streams:
    """The streams that are open at this worker."""

    def __init__(self, stopping: asyncio.Event) -> None:
        """stopping: set when the worker stops; who makes events must notice it as well."""
        self.open, self._stopping = Counter[str](), stopping

    async def send(
        self, request: web.Request, whose: str, events: AsyncGenerator[StreamEvent | None]
    ) -> web.StreamResponse:
        """Answer with the events until the client leaves, this worker stops or the time is over.

        events: must yield at least every `HEARTBEAT_S`, None for nothing new; may raise NotOwnerError and
            NotReadyError, which end the stream, as the browser then connects anew.
        Raises ProblemError (429).
        """
        if self.open[whose] >= MAX_STREAMS_PER_OWNER or self.open.total() >= MAX_STREAMS:
            raise ProblemError("TOO_MANY_STREAMS", retry_after_s=RETRY_AFTER_FULL_S)
        with counted(self.open, whose):
            response = EventSourceResponse(
                headers={"Cache-Control": "no-store"}, ping_interval=3 * HEARTBEAT_S
            )
            await response.prepare(request)
            until = time.monotonic() + MAX_STREAM_AGE_S
            retry_ms: int | None = RETRY_MS
            # A client that left, a partition that moved, a client that takes nothing any more.
            with suppress(ConnectionError, NotOwnerError, NotReadyError, TimeoutError):
                async with response, aclosing(events):
                    async for event in events:
                        is_over = not response.is_connected() or time.monotonic() > until
                        if is_over or self._stopping.is_set():
                            break
                        name, data, event_id = event or HEARTBEAT
                        await response.send(data, id=event_id, event=name, retry=retry_ms)
                        retry_ms = None
            return response
