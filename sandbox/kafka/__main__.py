"""`python -m sandbox.kafka`: run the sandbox's Kafka, have it start sooner, or lock its jars anew."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from sandbox.kafka.broker import DATA_DIR, BrokerError, KafkaBroker, external_bootstrap
from sandbox.kafka.class_cache import make_class_cache
from sandbox.kafka.jars import JarError, write_lock


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Apache Kafka for laptops and tests; needs neither Docker nor Java."""


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: free]")
@click.option("--keep", is_flag=True, help="Go on with the data of the last run; else wipe them.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA_DIR,
    help="Folder for topics, settings and the broker's log.  [default: .sandbox/kafka]",
)
def start(port: int | None, *, keep: bool, data_dir: Path) -> None:
    """Run a broker until Ctrl-C; its address is printed on stdout."""
    if (external := external_bootstrap()) is not None:
        raise click.ClickException(
            f"TIFFIN_KAFKA_BOOTSTRAP names a broker ({external}); there is nothing to start"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with KafkaBroker(data_dir, port, keep=keep) as broker:
            click.echo(broker.bootstrap)
            click.echo(f"Kafka answers; its log is {broker.log_path}. Ctrl-C ends it.", err=True)
            with suppress(KeyboardInterrupt):
                while broker.running:
                    time.sleep(0.2)
                raise BrokerError(f"Kafka ended by itself; see {broker.log_path}")
    except (BrokerError, JarError) as error:
        raise click.ClickException(str(error)) from error


@cli.command()
def lock() -> None:
    """Resolve Kafka's jars anew and write the lock file (needs the network)."""
    try:
        jars = write_lock()
    except JarError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(jars)} jars, {sum(jar.size for jar in jars) / 1e6:.0f} MB", err=True)


@cli.command()
def cache() -> None:
    """Make Java's cache of Kafka's classes, with which brokers start in half the processor time."""
    try:
        made = make_class_cache()
    except (BrokerError, JarError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Kafka is prepared ({made.name}, {made.stat().st_size / 1e6:.0f} MB)", err=True)


if __name__ == "__main__":
    sys.exit(cli())
