"""`faust -A app completion`: what a shell needs to complete our commands, in place of Faust's own.

Faust's needs a library that does not work with today's click, and would load the application, and check
all of its settings, at every press of the key. This prints the words that there are.
"""

import os
from pathlib import Path
from typing import Final

import click
from faust.cli import argument

from app import cli
from app.cli.command import command
from app.cli.http import exit_with
from app.settings import Settings

SHELLS: Final = ("bash", "zsh")
SCRIPT: Final = """\
_faust_words() {{
  local word words="{commands} {options}"
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in
{cases}
    esac
  done
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F _faust_words faust
"""


@command(argument("shell", type=click.Choice(SHELLS), required=False))
async def completion(_: Settings, shell: str | None) -> None:
    """Print what makes a shell complete commands: eval "$(faust -A app completion)"."""
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise exit_with(f"Which shell? `faust -A app completion {'|'.join(SHELLS)}`")
    cli.load(None)
    print(script(cli.GROUP, shell))  # noqa: T201 -- a command's output


def script(group: click.Group, shell: str) -> str:
    """The shell's commands."""
    cases = [
        f'      {name}) words="{" ".join(_words(command))}" ;;'
        for name, command in sorted(group.commands.items())
    ]
    text = SCRIPT.format(
        commands=" ".join(sorted(group.commands)),
        options=" ".join(_words(group)),
        cases="\n".join(cases),
    )
    return f"autoload -U +X bashcompinit && bashcompinit\n{text}" if shell == "zsh" else text


def _words(command: click.Command) -> list[str]:
    """Options, and what an argument may be."""
    words = {"--help"}
    for parameter in command.params:
        words |= {word for word in parameter.opts if word.startswith("--")}
        if isinstance(parameter, click.Argument) and isinstance(parameter.type, click.Choice):
            words |= set(map(str, parameter.type.choices))
    return sorted(words)
