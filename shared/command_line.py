"""Parts that several commands share: types of parameters, and reports of connections."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def version_option() -> Callable[[Function], Function]:
    """Return the decorator that adds ``--version``. Each program needs its own, since click stores its name there."""
    return click.version_option(package_name="signpost", message="%(prog)s %(version)s")


class EnumChoice(click.Choice[str]):
    """A choice of an enum's values that converts to its members."""

    def __init__(self, members: Iterable[str]) -> None:
        self.members = {str(member): member for member in members}
        super().__init__(list(self.members))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the member, or fail with a usage error."""
        return self.members[super().convert(value, param, ctx)]


def report_connections(problems: Iterable[tuple[str, str | None]]) -> None:
    """Print for each name whether the connection works, or its problem. Exits with 1 if there is a problem."""
    has_failed = False
    for name, problem in problems:
        click.echo(f"{name}: {problem or 'connected'}")
        has_failed |= problem is not None
    if has_failed:
        sys.exit(1)
