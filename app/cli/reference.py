"""`python -m app.cli.reference >docs/cli.md`: every command with its help, and what all have in common."""

import sys
from typing import Final

import click

from app.cli import GROUP, MODULES, load
from app.cli.errors import MEANINGS

WIDTH: Final = 100
INTRODUCTION: Final = """\
# The command line

<!-- made by `python -m app.cli.reference >docs/cli.md` -->

`faust -A app COMMAND`, from a checkout or an image of Tiffin, over ssh too. What Operations shows, \
commands show here. They ask any worker over HTTP and need no Kafka and no key of Stripe's; only `topics`, \
`stripe`, `audit rebuild`, `rehearse`, `restore` and `worker` read all settings.

- **Which worker**: the one of the settings (`TIFFIN_WEB_URL`, or `TIFFIN_WEB_HOST` and `TIFFIN_WEB_PORT`), or \
`--url`.
- **As whom**: `TIFFIN_OPERATOR_TOKEN` in the environment, or `--token`: a token of the identity provider with \
the role `operator`. In the sandbox none is needed. With `TIFFIN_ORDER_TOKEN_KEY` alone, `order ORDER_ID` and \
`payment ORDER_ID` work as well.
- **In scripts**: `--json` prints what the API answers (a worker's `/docs` describes it), errors go to stderr, \
and the exit status says how it ended.
- **To watch**: with `--watch` it is shown again every 2 seconds, until Ctrl-C; JSON is then a line for each \
answer. A worker that does not answer meanwhile is told, and asked again.
- **To change something**: `refund`, `cancel`, `skip` and `dead-letters redrive | discard` ask before they do \
it, unless `--yes` is given. `refund` and `cancel` send an Idempotency-Key. Where a try was cut off, the \
message names the key, and the same command with `--key KEY` does nothing twice.
- **In the shell**: `eval "$(faust -A app completion bash)"`, or `zsh`, completes commands, options and values.

Where no worker answers, `http://WORKER/readyz` says what it waits for, and [operations.md](operations.md) \
what to do.
"""
OF_FAUST: Final = ("agents", "tables", "worker")
"""Faust's own commands that Tiffin uses; the others are in Faust's book."""


def reference() -> str:
    """The page."""
    load(None)
    statuses = "\n".join(f"| {status.value} | {text} |" for status, text in MEANINGS.items())
    parts = [
        INTRODUCTION,
        f"## Exit status\n\n| status | meaning |\n| --- | --- |\n{statuses}\n",
        "## Commands\n",
        *(f"### {name}\n\n```text\n{help_of(name)}\n```\n" for name in sorted(MODULES)),
        "## Of Faust\n\n| command | what it does |\n| --- | --- |\n"
        + "\n".join(
            f"| `{name}` | {GROUP.commands[name].get_short_help_str(200)} |" for name in OF_FAUST
        )
        + "\n",
    ]
    return "\n".join(parts)


def help_of(name: str) -> str:
    """What `faust -A app NAME --help` prints, at a width of its own."""
    parent = click.Context(GROUP, info_name="faust -A app")
    context = click.Context(
        GROUP.commands[name], info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH
    )  # fmt: skip
    return GROUP.commands[name].get_help(context)


if __name__ == "__main__":
    sys.stdout.write(reference())
