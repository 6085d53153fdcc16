"""Logs: structlog over the standard library, as JSON or for a console; never a secret, never a body."""

import functools
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
import structlog

from tables.faust_internals import is_log_proxy

QUIET_LOGGERS: Final = (
    "faust", "mode", "aiokafka", "kafka", "stripe", "twilio", "httpx", "httpcore", "asyncio",
    "aiohttp.access", "tables", "abc",
)  # fmt: skip
"""Loggers at WARNING: their debug calls cost 10 to 12 % of the throughput, and the SDKs' hold bodies. tables,
abc: Faust logs "Starting..." and "Stopping..." of each of its services by the module of its class; what tables/
has to say itself is tiffin.engine's.
"""

OF_RECORDS: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
"""What the standard library itself keeps in a record: all else is a field of the line."""
SECRET_NAMES: Final = (
    "secret",
    "token",
    "authorization",
    "password",
    "cookie",
    "api_key",
    "apikey",
)


def configure_logs(log_format: Literal["console", "json"], level: str) -> None:
    """Send all lines, ours and the libraries', to stderr in one form. May be called again."""
    # What no line of ours shows is not looked up (the logging HOWTO's "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Nobody shows the file and the line of a call, so nobody looks for them: the same HOWTO.
    logging._srcfile = None  # noqa: SLF001
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # A worker's stderr is a proxy that turns prints into log lines; a handler that writes to it loses all.
    is_proxy = is_log_proxy(sys.stderr)
    handler = logging.StreamHandler(sys.__stderr__ if is_proxy else sys.stderr)
    handler.setFormatter(_Console() if log_format == "console" else _Json())
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class _Fields(logging.Formatter):
    """What a line says, of structlog's records and of the standard library's alike.

    structlog's own formatter does the same in three to five times the time, and every request has a line.
    """

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """The fields that were given, named alike and without secrets, then those of every line."""
        given = structlog.contextvars.get_contextvars()
        if isinstance(record.msg, dict):  # structlog's
            given |= record.msg
            event = given.pop("event", "")
            said = given.pop("exc_info", None)
            record.exc_info = record.exc_info or _exc_info(said)
        else:
            event = record.getMessage()
            given |= {name: value for name, value in vars(record).items() if name not in OF_RECORDS}
        line = {
            shown: "***" if is_secret else given[name]
            for name, shown, is_secret in _shown(tuple(given))
        }
        line["level"], line["logger"] = record.levelname.lower(), record.name
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line["timestamp"] = at.replace("+00:00", "Z")
        line["message"] = event
        return line


class _Json(_Fields):
    """A JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Tracebacks are without the locals: a request's body is one of them."""
        line = self.fields(record)
        if record.exc_info and record.exc_info[0]:
            line["exception"] = TRACEBACKS(record.exc_info)
        return orjson.dumps(line, repr, orjson.OPT_NON_STR_KEYS).decode()


class _Console(_Fields):
    """For people: the time, the level, what happened, then the fields."""

    def __init__(self) -> None:
        super().__init__()
        self._render = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )

    def format(self, record: logging.LogRecord) -> str:
        """As structlog shows it."""
        line = self.fields(record)
        line["event"] = line.pop("message")
        if record.exc_info:
            line["exc_info"] = record.exc_info
        return str(self._render(None, "", line))


TRACEBACKS: Final = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def _exc_info(said: object) -> Any:
    """The exc_info of structlog, which may be True or an exception, as the standard library's."""
    if isinstance(said, BaseException):
        return type(said), said, said.__traceback__
    return sys.exc_info() if said is True else said


@functools.lru_cache(1024)
def _shown(names: tuple[str, ...]) -> tuple[tuple[str, str, bool], ...]:
    """Of each field of a line: its name, as it is shown, and whether its value is a secret's.

    All names are in camel case, as in the API and the events: took_s is tookS. A field whose name says that
    it is secret has stars, as the last line of defence.
    """
    return tuple(
        (name, _in_camel_case(name), any(part in name.lower() for part in SECRET_NAMES))
        for name in names
    )


def _in_camel_case(name: str) -> str:
    first, *others = name[1:].split("_")
    return name[0] + "".join((first, *(part.capitalize() for part in others)))
