"""Write manual pages and shell completions from the command lines, for deploy/share."""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import cleandoc

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

MANUAL = "man/man1"
COMPLETIONS: dict[str, type[ShellComplete]] = {
    "bash-completion/completions/{}": BashComplete,
    "zsh/site-functions/_{}": ZshComplete,
    "fish/vendor_completions.d/{}.fish": FishComplete,
}
"""The path below ``share`` of each shell's script for a program."""

ENVIRONMENT = "All settings come from environment variables. docs/reference/settings.md describes them."
EXIT_STATUS = "0 for success, 1 for a failure, 2 for wrong usage or invalid settings."


def files_of(programs: Mapping[str, str]) -> dict[str, str]:
    """Return the texts by path below ``share``. ``programs`` are entry points, such as ``tenants.cli:main``."""
    files = {}
    for program, target in programs.items():
        module, _, name = target.partition(":")
        command: click.Command = getattr(import_module(module), name)
        files[f"{MANUAL}/{program}.1"] = manual_page(program, command)
        variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
        for path, shell in COMPLETIONS.items():
            script = shell(command, {}, program, variable)
            # ``source()`` would run a shell to check its version.
            files[path.format(program)] = f"{script.source_template % script.source_vars()}".strip() + "\n"
    return files


def manual_page(program: str, command: click.Command) -> str:
    """Return a page in roff (man(7)) about the program and all its commands."""
    context = click.Context(command, info_name=program, **command.context_settings)
    lines = [
        f'.TH "{program.upper()}" "1" "" "Signpost" "Signpost"',
        ".ad l",
        *(".SH NAME", f"{_escaped(program)} \\- {_escaped(_summary(command))}"),
        *(".SH SYNOPSIS", f".B {_escaped(program)}", "[OPTIONS] COMMAND [ARGS]..."),
        *(".SH DESCRIPTION", *_paragraphs(command)),
        *(".SH OPTIONS", *_options(context)),
        ".SH COMMANDS",
    ]
    for leaf in _leaves(context):
        usage = " ".join([leaf.command_path, *leaf.command.collect_usage_pieces(leaf)])
        lines += [f'.SS "{_escaped(usage)}"', *_paragraphs(leaf.command), *_options(leaf)]
    lines += [".SH ENVIRONMENT", _escaped(ENVIRONMENT), ".SH EXIT STATUS", _escaped(EXIT_STATUS)]
    return "\n".join(lines) + "\n"


def _leaves(context: click.Context) -> Iterator[click.Context]:
    """Yield the contexts of all commands that are no groups."""
    if not isinstance(context.command, click.Group):
        yield context
        return
    for word, below in sorted(context.command.commands.items()):
        if not below.hidden:
            yield from _leaves(click.Context(below, parent=context, info_name=word))


def _summary(command: click.Command) -> str:
    """Return the first sentence, without the program's name."""
    sentence = re.sub(r"^(The command )?`[^`]+`: ", "", command.get_short_help_str(limit=200))
    return sentence.rstrip(".")


def _paragraphs(command: click.Command) -> Iterator[str]:
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        yield ".PP"
        yield _escaped(" ".join(paragraph.split()))


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:
            yield from (".TP", f".B {_escaped(record[0])}", _escaped(record[1]))


def _escaped(text: str) -> str:
    """Return text that roff prints as it is. A line must not begin with a control character."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return re.sub(r"^(?=[.'])", r"\\&", escaped)
