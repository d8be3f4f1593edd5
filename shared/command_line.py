"""What the command lines have in common."""

from enum import StrEnum
from typing import Any

import click


class OneOf(click.Choice[str]):
    """The type of a closed set: its words on the command line, its members in the code."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__([word.value for word in kind])
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the member; what is no member is wrong usage."""
        return self.kind(super().convert(value, param, ctx))
