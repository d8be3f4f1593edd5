"""The project's command lines as click defines them, and the settings that each process reads."""

import os
import tomllib
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import click
from click.testing import CliRunner, Result

from api_service.settings import ApiSettingsSchema, MigrateSettingsSchema
from operator_console.settings import (
    ConsoleSettingsSchema,
    ProfileSettingsSchema,
    SuppressionSettingsSchema,
    WebSettingsSchema,
)
from outbox_relay.settings import RelaySettingsSchema
from receiver.bounces.settings import BounceSettingsSchema
from receiver.callbacks.settings import CallbackSettingsSchema
from shared.settings import SettingsSchema
from tenants.settings import TenantsSettingsSchema

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROGRAMS: dict[str, str] = PROJECT["project"]["scripts"]
SETTINGS: dict[str, type[SettingsSchema]] = {
    "api-service migrate": MigrateSettingsSchema,
    "api-service": ApiSettingsSchema,
    "outbox-relay": RelaySettingsSchema,
    "operator-console": WebSettingsSchema,
    "signpost-receiver": BounceSettingsSchema,
    "signpost-receiver callbacks": CallbackSettingsSchema,
    "outboxctl users": ProfileSettingsSchema,
    "outboxctl suppressions": SuppressionSettingsSchema,
    "outboxctl": ConsoleSettingsSchema,
    "tenants": TenantsSettingsSchema,
}


def is_program(program: str) -> bool:
    """Return whether this release has that program."""
    return program in PROGRAMS


def run_here(program: str, *arguments: str, **environment: str) -> Result:
    """Run a command in this process, with this environment only: a process takes half a second to start."""
    without_others = dict.fromkeys(os.environ) | {"PATH": os.environ["PATH"]}
    return CliRunner().invoke(command_of(program), list(arguments), env=without_others | environment)


def command_of(program: str) -> click.Command:
    module, _, name = PROGRAMS[program].partition(":")
    command: click.Command = getattr(import_module(module), name)
    return command


def errors_in(words: list[str]) -> list[str]:
    """Return the errors in a command line: unknown commands, options or choices.

    Other values are not checked, and no setting is read.
    """
    program, *rest = words
    command = command_of(program)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            return [f"{program} has no command {rest[0]}"]
        command, rest = found, rest[1:]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    given = {word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"}
    lost = [f"{program} {command.name} has no option {option}" for option in sorted(given - known)]
    return lost + [f"{program} {command.name} takes no {choice}" for choice in invalid_choices(command, rest)]


def invalid_choices(command: click.Command, rest: list[str]) -> list[str]:
    """Return the options whose value is not one of their choices."""
    sets = {
        option: each.type.choices
        for each in command.params
        if isinstance(each.type, click.Choice)
        for option in each.opts
    }
    pairs = [*pairwise(rest), *(word.split("=", 1) for word in rest if "=" in word)]
    return [f"{option} {word}" for option, word in pairs if option in sets and word not in sets[option]]


def settings_of(words: list[str]) -> set[str]:
    """Return the environment variables that the command reads, including NAME_FILE for secrets."""
    fields = schema_of(words)().fields.values()
    secrets = {f"{field.data_key}_FILE" for field in fields if field.metadata["is_secret"]}
    return {str(field.data_key) for field in fields} | secrets


def schema_of(words: list[str]) -> type[SettingsSchema]:
    """Return the schema of the settings that the command reads."""
    return SETTINGS.get(" ".join(words[:2])) or SETTINGS.get(words[0]) or only_schema_of(words[0])


def only_schema_of(program: str) -> type[SettingsSchema]:
    """Return the settings schema of the program's module if it reads exactly one."""
    known = vars(import_module(PROGRAMS[program].partition(":")[0])).values()
    [schema] = {each for each in known if isinstance(each, type) and issubclass(each, SettingsSchema)} - {
        SettingsSchema
    }
    return schema
