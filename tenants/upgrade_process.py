"""Upgrade databases in a child process: alembic keeps its state in globals, so each process upgrades one at a time.

Parent and child exchange one line of JSON per database over pipes. The child ends when its input does, so a killed
parent leaves no process behind. URLs contain passwords, so they are neither arguments nor environment variables.
"""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from sqlalchemy.exc import SQLAlchemyError

from shared.db.errors import describe
from shared.db.migrating import MigrationError, Migrations

ErrorFields = dict[str, str | None]
"""The loggable fields of an error; empty after success."""

COMMAND = (sys.executable, "-m", "tenants", "upgrade")

migrations = Migrations(Path(__file__).parent)


def upgrade_from(input_: TextIO, output: TextIO) -> None:
    """Upgrade each database of the input and write its result, until the input ends."""
    for line in input_:
        output.write(json.dumps(upgrade_one(json.loads(line))) + "\n")
        output.flush()


def upgrade_one(url: str) -> ErrorFields:
    """Upgrade one database in this process."""
    try:
        migrations.upgrade(url)
    except (SQLAlchemyError, MigrationError) as error:
        return describe(error)
    return {}


class UpgradeProcess:
    """A child process, seen from its parent. If the child dies, the next upgrade runs in a new one."""

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def upgrade(self, url: str) -> ErrorFields:
        """Upgrade one database in the child process."""
        try:
            self._input.write(json.dumps(url) + "\n")
            self._input.flush()
            result: ErrorFields = json.loads(self._output.readline())
        except (OSError, ValueError):
            self._stop()
            self._start()
            return {"error": "process ended", "sqlstate": None}
        return result

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - fixed arguments
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        input_, output = self._process.stdin, self._process.stdout
        if input_ is None or output is None:
            raise OSError("no pipes")
        self._input, self._output = input_, output

    def _stop(self) -> None:
        self._process.kill()
        with self._process:
            pass
