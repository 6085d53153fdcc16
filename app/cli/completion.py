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
from app.cli.errors import CommandError, ExitStatus

SHELLS: Final = ("bash", "zsh")
SCRIPT: Final = """\
_faust_words() {{
  local word command= words="{commands} {options}"
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in
{cases}
    esac
    [ -z "$command" ] || break
  done
  case "$command ${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F _faust_words faust
"""


@command(
    argument("shell", type=click.Choice(SHELLS), required=False),
    examples=("completion bash", "completion zsh"),
)
async def completion(shell: str | None) -> None:
    """Print what makes a shell complete commands: eval "$(faust -A app completion)"."""
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        told = f"Which shell? `faust -A app completion {'|'.join(SHELLS)}`"
        raise CommandError(told, ExitStatus.UNTOLD)
    cli.load(None)
    print(script(cli.GROUP, shell))  # noqa: T201 -- a command's output


def script(group: click.Group, shell: str) -> str:
    """The shell's commands."""
    cases = [
        f'      {name}) words="{" ".join(_words(command))}" command={name} ;;'
        for name, command in sorted(group.commands.items())
    ]
    values = [
        f'    "{name} {option}") words="{" ".join(choices)}" ;;'
        for name, command in sorted(group.commands.items())
        for parameter in command.params
        if isinstance(parameter, click.Option) and (choices := _choices(parameter))
        for option in parameter.opts
    ]
    text = SCRIPT.format(
        commands=" ".join(sorted(group.commands)),
        options=" ".join(_words(group)),
        cases="\n".join(cases),
        values="\n".join(values),
    )
    return f"autoload -U +X bashcompinit && bashcompinit\n{text}" if shell == "zsh" else text


def _words(command: click.Command) -> list[str]:
    """Options, and what an argument may be."""
    words = {"--help"}
    for parameter in command.params:
        words |= {word for word in parameter.opts if word.startswith("--")}
        if isinstance(parameter, click.Argument):
            words |= set(_choices(parameter))
    return sorted(words)


def _choices(parameter: click.Parameter) -> list[str]:
    """The values that a parameter takes, where they are known."""
    kind = parameter.type
    return list(map(str, kind.choices)) if isinstance(kind, click.Choice) else []
