"""The Faust worker: logs in our form from its first line, and Kafka away at the start is one line."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import faust
import structlog
from aiokafka.errors import KafkaConnectionError

from models.errors import KafkaUnavailableError
from tables.worker_exit import EXIT_WRONG_KAFKA, WrongKafkaError

log = structlog.stdlib.get_logger(__name__)

KAFKA_AWAY_STATUS: Final = 1
"""Exit status; a supervisor starts the worker again."""
CONNECT_TIMEOUT_S: Final = 1.0


def worker_class(
    configure_logs: Callable[[], None], kafka: str, prepare: Callable[[], Awaitable[None]]
) -> type[faust.Worker]:
    """The class for Faust's setting `Worker`. configure_logs: called anew by the app once Kafka is there.

    kafka: brokers, as they are set. prepare: what is asked of Kafka before the worker joins its group; may
    raise KafkaUnavailableError, and WrongKafkaError where it must not join.
    """

    class Worker(faust.Worker):
        """Differs from Faust's in what it logs."""

        def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
            """Replace what Faust has just set up."""
            super().on_setup_root_logger(logger, level)
            configure_logs()
            # It has a line for each broker, and for each try; ours says the same once.
            logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

        async def start(self) -> None:
            """Run until it is stopped. Raises SystemExit where it can't start, with the reason in the log."""
            try:
                if await _reachable(kafka):
                    await prepare()
                await super().start()
            except WrongKafkaError as error:
                log.critical("this worker must not start", reason=str(error))
                raise SystemExit(EXIT_WRONG_KAFKA) from None
            except KafkaUnavailableError as error:
                log.critical("what the worker needs to start can't be read", reason=str(error))
                raise SystemExit(KAFKA_AWAY_STATUS) from None
            except KafkaConnectionError:
                log.critical(
                    "Kafka can't be reached: is it running, and is TIFFIN_KAFKA_BOOTSTRAP right?",
                    kafka=kafka,
                )
                raise SystemExit(KAFKA_AWAY_STATUS) from None

    return Worker


async def _reachable(kafka: str) -> bool:
    """Whether any broker takes a connection: where none does, Faust says so sooner than an admin client."""
    for broker in kafka.split(","):
        host, _, port = broker.rpartition(":")
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.close()
            return True
    return False
