"""A process that upgrades databases for another: their URLs come in, and how it went goes out, a line of JSON each.

It ends when nobody is left to ask it, so that whoever is killed leaves none behind. URLs hold passwords, and so are
neither arguments nor environment.
"""

import json
import subprocess
import sys
from types import TracebackType
from typing import Self, TextIO

from sqlalchemy.exc import SQLAlchemyError

from shared.database import describe
from shared.migrating import NotMigratedError
from tenants.commands import upgrade

Facts = dict[str, str | None]
"""What may be told of an error; empty where there was none."""

COMMAND = (sys.executable, "-m", "tenants", "upgrade")


def answer(asked: TextIO, answered: TextIO) -> None:
    """Upgrade one database after the other, for as long as there is one."""
    for line in asked:
        answered.write(json.dumps(upgrade_one(json.loads(line))) + "\n")
        answered.flush()


def upgrade_one(url: str) -> Facts:
    """Upgrade one database, and tell what went wrong, if anything did."""
    try:
        upgrade(url)
    except (SQLAlchemyError, NotMigratedError) as error:
        return describe(error)
    return {}


class Helper:
    """Such a process, from the side of who asks; another takes its place when it dies."""

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def upgrade(self, url: str) -> Facts:
        """Have one database upgraded, and return what went wrong, if anything did."""
        try:
            self._asked.write(json.dumps(url) + "\n")
            self._asked.flush()
            facts: Facts = json.loads(self._answered.readline())
        except (OSError, ValueError):
            self._end()
            self._start()
            return {"error": "process ended", "sqlstate": None}
        return facts

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own arguments
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        asked, answered = self._process.stdin, self._process.stdout
        if asked is None or answered is None:
            raise OSError("no pipes")
        self._asked, self._answered = asked, answered

    def _end(self) -> None:
        self._process.kill()
        with self._process:
            pass
