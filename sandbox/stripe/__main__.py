"""`python -m sandbox.stripe`: run the Stripe stand-in until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import signal

import click

from sandbox.stripe.server import StripeSandbox
from sandbox.stripe.state import SHORT_SETTLE_DELAY_S


@click.command(
    help="Run a stand-in for Stripe: point the SDK at it with base_addresses={'api': URL} and the "
    "page at URL/v3/stripe.js. GET URL/_control lists the control API.",
    context_settings={"show_default": True},
)
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=12111, help="Port to listen on; 0 takes a free one.")
@click.option("--webhook-url", default=None, help="Endpoint that gets every event.")
@click.option(
    "--webhook-secret",
    "webhook_secrets",
    multiple=True,
    help="Signing secret (whsec_...) of that endpoint; several sign side by side.",
)
@click.option(
    "--settle-delay",
    default=SHORT_SETTLE_DELAY_S,
    help="Seconds after which bank debits and late refunds settle; negative: only on request.",
)
@click.option("--public-url", default=None, help="URL by which browsers reach the stand-in.")
def main(
    host: str,
    port: int,
    webhook_url: str | None,
    webhook_secrets: tuple[str, ...],
    settle_delay: float,
    public_url: str | None,
) -> None:
    """Parse the command line and serve."""
    if webhook_secrets and webhook_url is None:
        raise click.UsageError("--webhook-secret needs --webhook-url")
    sandbox = StripeSandbox(
        host=host,
        port=port,
        webhook_url=webhook_url,
        webhook_secrets=webhook_secrets,
        settle_delay_s=None if settle_delay < 0 else settle_delay,
        public_url=public_url,
    )
    asyncio.run(_serve(sandbox))


async def _serve(sandbox: StripeSandbox) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await sandbox.start()
    except OSError as error:
        raise SystemExit(f"The Stripe stand-in can't listen: {error}") from error
    click.echo(f"Stripe stand-in: {sandbox.base_url} (control API: {sandbox.base_url}/_control)")
    try:
        await stop.wait()
    finally:
        await sandbox.stop()


if __name__ == "__main__":
    main()
