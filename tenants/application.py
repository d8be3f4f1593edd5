"""The application's migrations: a command that upgrades one organization's database, or an Alembic environment.

The command runs once for each database, in a separate process, so the application may use other versions of libraries
than Signpost, or another language.
"""

import asyncio
import os
import re
import shlex
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from tenants.schema import SCHEMA

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""The variables that the command inherits. The others may be Signpost's secrets."""

LOCK_TIMEOUT = "-c lock_timeout=3s"
"""While a migration waits for a table's lock, all later statements on the table wait behind it."""

LONGEST_REASON = 200

_ERROR = re.compile(r"[\w.:/-]+: ")
"""How the last line of a traceback and the messages of most programs begin."""


@dataclass(frozen=True)
class ApplicationMigrations:
    """The command, and the name of the revision that it upgrades to. Without a command, databases start empty."""

    command: tuple[str, ...] = ()
    revision: str = ""

    @property
    def template(self) -> str:
        """Name of the template database of this revision and of Signpost's own schema."""
        return f"signpost_template_{_digest(SCHEMA, self.revision)}"


def migrations_of(text: str) -> ApplicationMigrations:
    """Return the migrations of ORGANIZATION_MIGRATIONS. Raises ValueError with a predicate.

    The revision of a folder is a digest of its files, so it changes with each new migration.
    """
    folder = Path(text)
    if (folder / "env.py").is_file():
        digest = _digest(*(f"{file.relative_to(folder)}\n{file.read_text()}" for file in sorted(folder.rglob("*.py"))))
        return ApplicationMigrations((sys.executable, "-m", "tenants.alembic_folder", text), digest)
    revision, colon, command = text.partition(": ")
    words = tuple(shlex.split(command))
    if not (revision and colon and words):
        raise ValueError("is neither a folder with env.py nor REVISION: COMMAND")
    if not shutil.which(words[0]):
        raise ValueError(f"names a program that does not exist, {words[0]}")
    return ApplicationMigrations(words, revision)


def command_environment(conninfo: str) -> Mapping[str, str]:
    """Return the command's environment for a database: DATABASE_URL, and libpq's default options."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {"DATABASE_URL": application_url(conninfo), "PGOPTIONS": LOCK_TIMEOUT}


def application_url(conninfo: str) -> str:
    """Return a URL of the usual form for a connection string of libpq. The path of a socket becomes a parameter."""
    parts: dict[str, Any] = dict(conninfo_to_dict(conninfo))
    login = ":".join(quote(str(parts.pop(name)), safe="") for name in ("user", "password") if name in parts)
    database, host = parts.pop("dbname"), ""
    if not str(parts.get("host", "/")).startswith("/"):
        name = str(parts.pop("host"))
        host = f"{f'[{name}]' if ':' in name else name}:{parts.pop('port', 5432)}"
    return f"postgresql://{login}@{host}/{quote(database)}" + (f"?{urlencode(parts)}" if parts else "")


async def run(migrations: ApplicationMigrations, conninfo: str, lock_holder: int) -> str | None:
    """Upgrade one database, and return the reason if that failed.

    The child inherits ``lock_holder``, the socket of the session with the database's lock. So if this process is
    killed, the lock lasts until the child has ended.
    """
    if not migrations.command:
        return None
    child = await asyncio.create_subprocess_exec(
        *migrations.command,
        env=command_environment(conninfo),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        pass_fds=(lock_holder,),
    )
    try:
        _, output = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return reason_of(child.returncode, output) if child.returncode else None


def reason_of(status: int, output: bytes) -> str:
    """Return one line about a failed command: its last error, else its last line, else its exit status."""
    lines = [line.rstrip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)] or lines
    reason = "".join(filter(str.isprintable, errors[-1]))[:LONGEST_REASON] if errors else ""
    return reason or f"exit status {status}"


def _digest(*texts: str) -> str:
    return blake2b("\0".join(texts).encode(), digest_size=6).hexdigest()
