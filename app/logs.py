"""Logs: structlog over the standard library, as JSON or for a console; never a secret, never a body."""

import functools
import logging
import sys
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

STRUCTLOGS: Final = frozenset(
    {"_record", "_from_structlog", "exc_info", "stack_info", "positional_args"}
)
"""Fields of a line that structlog itself looks for, and takes out."""
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
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        hide_secrets,
        name_alike,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
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
    formatter = structlog.stdlib.ProcessorFormatter
    render = [formatter.remove_processors_meta, *_render(log_format)]
    handler.setFormatter(formatter(foreign_pre_chain=shared, processors=render))
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _render(log_format: str) -> list[structlog.typing.Processor]:
    if log_format == "console":
        plain = structlog.dev.plain_traceback
        colors = sys.stderr.isatty()
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    # Without the locals, which are structlog's default: a request's body is one of them.
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        structlog.processors.ExceptionRenderer(tracebacks),
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(
            lambda line, **_: orjson.dumps(line, repr, orjson.OPT_NON_STR_KEYS).decode()
        ),
    ]


def name_alike(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Give every field a name in camel case, as in the API and the events: took_s is tookS."""
    for name in [name for name in line if "_" in name[1:] and name not in STRUCTLOGS]:
        line[_in_camel_case(name)] = line.pop(name)
    return line


@functools.lru_cache(1024)
def _in_camel_case(name: str) -> str:
    first, *others = name.split("_")
    return "".join((first, *(part.capitalize() for part in others)))


def hide_secrets(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put stars in place of every field whose name says that it is secret; a last line of defence."""
    for name in line:
        if _is_secret(name):
            line[name] = "***"
    return line


@functools.lru_cache(1024)
def _is_secret(name: str) -> bool:
    return any(part in name.lower() for part in SECRET_NAMES)
