"""Types of command-line parameters."""

from collections.abc import Iterable
from typing import Any

import click


class EnumChoice(click.Choice[str]):
    """A choice of an enum's values that converts to its members."""

    def __init__(self, members: Iterable[str]) -> None:
        self.members = {str(member): member for member in members}
        super().__init__(list(self.members))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the member, or fail with a usage error."""
        return self.members[super().convert(value, param, ctx)]
