"""The unit files in deploy/systemd, read line by line: a word may stand there more than once."""

import re
from pathlib import Path

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
INSTALLED = "/opt/signpost/current/bin"
CONFIGURATION = "/etc/signpost"


def said(unit: str, word: str) -> list[str]:
    """Return all that the unit says after that word."""
    return re.findall(rf"^{word}=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)


def words_of(unit: str) -> list[str]:
    """Return the command that it starts, its program by name alone."""
    [command] = said(unit, "ExecStart")
    return command.removeprefix(f"{INSTALLED}/").split()


def credentials_of(unit: str) -> dict[str, str]:
    """Return the files that it is given copies of, by the copies' names."""
    return dict(line.split(":", 1) for line in said(unit, "LoadCredential"))


def settings_given(unit: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in said(unit, "Environment"))
