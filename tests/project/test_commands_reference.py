"""docs/reference/commands.md names every command and every option."""

import re
from collections.abc import Iterator
from importlib import import_module

import click

from tests.support.commands import PROGRAMS, ROOT

PAGE = (ROOT / "docs" / "reference" / "commands.md").read_text()


def test_every_command_is_documented_once() -> None:
    documented = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted(name for name, _ in commands())


def test_every_option_is_documented() -> None:
    options = {
        option
        for _, command in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }
    assert {option for option in options if f"`{option}`" not in PAGE} == set()


def commands() -> Iterator[tuple[str, click.Command]]:
    for program, target in PROGRAMS.items():
        module, _, name = target.partition(":")
        yield from leaves(program, getattr(import_module(module), name))


def leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for word, below in command.commands.items():
            yield from leaves(f"{name} {word}", below)
    else:
        yield name, command
