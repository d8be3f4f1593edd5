"""What the command lines have in common."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import click


class OneOf(click.Choice[str]):
    """The type of a closed set: its words on the command line, its members in the code."""

    def __init__(self, members: Iterable[StrEnum]) -> None:
        self.members = {word.value: word for word in members}
        super().__init__(list(self.members))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the member; what is no member is wrong usage."""
        return self.members[super().convert(value, param, ctx)]
