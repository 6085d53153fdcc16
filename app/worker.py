"""The Faust worker: logs in our form from its first line, and Kafka away at the start is one line."""

import logging
from collections.abc import Callable
from typing import Final

import faust
import structlog
from aiokafka.errors import KafkaConnectionError

log = structlog.stdlib.get_logger(__name__)

KAFKA_AWAY_STATUS: Final = 1
"""Exit status; a supervisor starts the worker again."""


def worker_class(configure_logs: Callable[[], None], kafka: str) -> type[faust.Worker]:
    """The class for Faust's setting `Worker`. configure_logs: called anew by the app once Kafka is there.

    kafka: brokers, as they are set.
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
            """Run until it is stopped. Raises SystemExit when no broker can be reached at the start."""
            try:
                await super().start()
            except KafkaConnectionError:
                log.critical(
                    "Kafka can't be reached: is it running, and is TIFFIN_KAFKA_BOOTSTRAP right?",
                    kafka=kafka,
                )
                raise SystemExit(KAFKA_AWAY_STATUS) from None

    return Worker
