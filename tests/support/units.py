"""The unit files in deploy/systemd, line by line, because a key may appear more than once."""

import re
from pathlib import Path

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
INSTALLED = "/opt/signpost/current/bin"
CONFIGURATION = "/etc/signpost"


def values_of(unit: str, word: str) -> list[str]:
    """Return all values of that key."""
    return re.findall(rf"^{word}=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)


def words_of(unit: str) -> list[str]:
    """Return the command that the unit starts, with the program's base name."""
    [command] = values_of(unit, "ExecStart")
    return command.removeprefix(f"{INSTALLED}/").split()


def credentials_of(unit: str) -> dict[str, str]:
    """Return the files that the unit receives as credentials, by credential name."""
    return dict(line.split(":", 1) for line in values_of(unit, "LoadCredential"))


def settings_given(unit: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in values_of(unit, "Environment"))
