"""The commands in the docs: after a prompt or in a shell block, and programs named in tables."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from textwrap import dedent

from tests.support.commands import PROGRAMS, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
ASSIGNED = re.compile(r"^[A-Z][A-Z0-9_]*=")
WRAPPERS = {"sudo", "exec", "time"}


@dataclass(frozen=True)
class Command:
    """One command, and the page that shows it."""

    page: Path
    line: str

    @property
    def programs(self) -> list[list[str]]:
        """Return the words of each program in the command, without variable assignments; pipes and lists are split."""
        found: list[list[str]] = []
        for part in re.split(r"\s(?:\||\|\||&&|;)\s", self.line):
            words = list(takewhile(lambda word: not word.startswith(">"), shlex.split(re.sub(r"\s#\s.*", "", part))))
            while words and (ASSIGNED.match(words[0]) or words[0] in WRAPPERS):
                words = words[3:] if words[:2] == ["sudo", "-u"] else words[1:]
            if words:
                found.append([Path(words[0]).name, *words[1:]])
        return found

    def __str__(self) -> str:
        return f"{self.page.name}: {self.line}"


def typed() -> list[Command]:
    """Return all commands on all pages: after a prompt in a console block, or as a line of a shell block."""
    return [Command(page, line) for page in PAGES if page.exists() for line in _lines_of(page.read_text())]


def mentioned() -> list[Command]:
    """Return inline code that starts with one of the project's programs, or with make."""
    return [
        Command(page, line)
        for page in PAGES
        if page.exists()
        for line in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCED.sub("", page.read_text()))
        if line.split()[0] in {*PROGRAMS, "make"} and "…" not in line
    ]


def _lines_of(text: str) -> Iterator[str]:
    for kind, block in FENCED.findall(text):
        joined = dedent(block).replace("\\\n", " ")
        if kind == "console":
            yield from (line[2:] for line in joined.splitlines() if line.startswith(("$ ", "# ")))
        elif kind in {"sh", "bash"}:
            yield from (line for line in joined.splitlines() if line.strip() and not line.startswith("#"))
