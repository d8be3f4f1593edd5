"""The guide to an application for organizations, followed literally: its files, its commands and their outputs."""

import os
import re
import runpy
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devstack.ports import free_port, free_ports
from devstack.programs import Programs
from devstack.stack import running_stack
from tests.support.commands import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the guide needs curl, which is not installed"),
]

GUIDE = (ROOT / "docs" / "guides" / "organizations-application.md").read_text()
FILE = re.compile(r"Write `(notes/\S+)`:\n\n```python\n(.*?)```", re.DOTALL)
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
START = "$ ORGANIZATION_MIGRATIONS=$PWD/notes/migrations make up\n"
EXPORTS = re.compile(r"^\$ export (?:DATABASE_URL|PGHOST)=.*\n", re.MULTILINE)
VARYING = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\d")
"""Ids and dates."""
END = "end of the output"


def steps() -> Iterator[tuple[str, str]]:
    """Yield each command with the output that the guide shows, except those that depend on the machine."""
    blocks = [block for block in BLOCK.findall(GUIDE) if not block.startswith(START)]
    for step in EXPORTS.sub("", "".join(blocks)).removeprefix("$ ").split("\n$ "):
        lines = step.replace("\\\n", " ").split("\n")
        yield lines[0], "\n".join(lines[1:]).rstrip()


def addressed(command: str, programs: Programs, port: int) -> str:
    """Return the command with the addresses of this stack."""
    urls = {"8000": programs.api_url, "8001": programs.console_url, "8025": programs.inbox_url}
    for shown, url in urls.items():
        command = command.replace(f"http://127.0.0.1:{shown}", url)
    return command.replace("127.0.0.1:5000", f"127.0.0.1:{port}").replace("--port 5000", f"--port {port}")


def without_ids(output: str) -> str:
    return VARYING.sub("…", output)


def typed(script: str, folder: Path) -> str:
    """Run the script as a person in the folder would, and return what the terminal shows."""
    # Without the test's own settings. The shell leads a session, so that nothing of it outlives a command that hangs.
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with subprocess.Popen(
        ["bash"],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            output, _ = shell.communicate(script, timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            raise
        return output


def test_two_organizations_see_their_own_notes_and_a_renewed_password_reconnects(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(sysconfig.get_path("scripts"))
    (before, _), (alembic, _), *after = steps()
    assert typed(f"{before}\n{alembic}\n", tmp_path) == ""
    for name, text in FILE.findall(GUIDE):
        (tmp_path / name).write_text(dedent(text))

    with running_stack(free_ports(), organization_migrations=str(tmp_path / "notes" / "migrations")) as stack:
        programs, port = stack.programs, free_port()
        exports = f"export DATABASE_URL='{programs.operators_database_url}'\nexport {programs.owners_psql_settings}\n"
        commands = [f"{addressed(command, programs, port)}\necho; echo {END}" for command, _ in after]
        shown = typed("\n".join([exports, *commands]), tmp_path).split(END)

    assert len(shown) == len(after) + 1
    for (command, expected), output in zip(after, shown, strict=False):
        assert (command, without_ids(output.strip())) == (command, without_ids(expected))


def test_without_the_api_a_token_is_neither_accepted_nor_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text(dict(FILE.findall(GUIDE))["notes/app.py"])
    for name in ("SIGNPOST_URL", "CONSOLE_URL"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")  # refuses connections
    monkeypatch.setenv("CONSOLE_TOKEN", "so_unused")
    client = runpy.run_path(str(tmp_path / "app.py"))["app"].test_client()
    token = jwt.encode({}, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": "first"})

    statuses = [
        client.get("/notes", headers={"Authorization": f"Bearer {sent}"}).status_code for sent in (token, "no token")
    ]

    assert statuses == [503, 401]
