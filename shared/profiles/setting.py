"""The setting PROFILE_SCHEMA: a file with the JSON Schema of users' own fields."""

from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from shared.profiles.schema import ProfileSchema, ProfileSchemaError
from shared.settings import Text
from shared.strict_json import parse_json

MAX_BYTES = 64 * 1024


class ProfileSchemaFile(Text):
    """The path of the file; its value is the ProfileSchema."""

    def __init__(self, meaning: str, *, default: Any) -> None:
        super().__init__("PROFILE_SCHEMA", meaning, unit="path", default=default)

    def parse(self, text: str) -> ProfileSchema:
        """Read and check the file."""
        return read_profile_schema(Path(text))


def read_profile_schema(path: Path) -> ProfileSchema:
    """Return the schema in that file. Raises ValueError or ValidationError with predicates."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ValueError(f"cannot be read: {type(error).__name__}") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES // 1024} KiB")
    try:
        return ProfileSchema(parse_json(content))
    except ProfileSchemaError as error:
        raise ValidationError(error.errors) from error
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error
