"""An OAuth2 server of its own: the npm package ``oidc-provider``, where it is installed."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support import plain_http
from tests.support.eventually import eventually

SCRIPT = Path(__file__).with_name("oauth_server.mjs")
PACKAGE = Path(__file__).parents[2] / ".venv" / "node_modules" / "oidc-provider"
MAILBOX = "no-reply@signpost.example"
SECRET = "secret-of-the-relay"


class OAuthServer:
    """The process, and the events that it has printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.events: list[dict[str, Any]] = []
        self._process = process
        Thread(target=self._read, daemon=True).start()

    @property
    def url(self) -> str:
        """The issuer's URL, without credentials."""
        return f"http://{self.address}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.all('port')[0]}"

    def all(self, name: str) -> list[Any]:
        """Return the values of the events with that name."""
        return [event[name] for event in list(self.events) if name in event]

    def refresh_token(self, client: str = "keeping") -> str:
        """Return a new refresh token, as after a user has given consent."""
        before = len(self.all("refresh_token"))
        assert self._process.stdin
        self._process.stdin.write(f"{client}\n")
        self._process.stdin.flush()
        eventually(lambda: len(self.all("refresh_token")) > before)
        return str(self.all("refresh_token")[-1])

    def revoke(self, token: str, client: str = "keeping") -> None:
        form = {"client_id": client, "client_secret": SECRET, "token": token}
        plain_http.post(f"{self.url}/token/revocation", data=form).raise_for_status()

    def options(
        self, folder: Path, *, refresh_token: str | None = None, client: str = "keeping", secret: str = SECRET
    ) -> str:
        """Return the options of a provider's URL, with the secrets in files."""
        files = {"client_secret_file": secret} | ({"refresh_token_file": refresh_token} if refresh_token else {})
        for name, text in files.items():
            (folder / name).write_text(text)
        options = {name: str(folder / name) for name in files}
        return urlencode({"token_url": f"{self.url}/token", "client_id": client, "scope": "mail"} | options)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.events.append(json.loads(line))


@contextmanager
def oauth_server(folder: Path, *, lifetime: int) -> Iterator[OAuthServer]:
    """Run the server, with its log in the folder. Access tokens live for ``lifetime`` seconds."""
    node = shutil.which("node")
    if node is None or not PACKAGE.is_dir():
        pytest.skip("this machine has no node, or not its package oidc-provider")
    command, pipe = [node, str(SCRIPT), str(PACKAGE), MAILBOX, str(lifetime)], subprocess.PIPE
    with (
        (folder / "oauth-server.log").open("wb") as log,
        subprocess.Popen(
            command, env={"PATH": os.environ["PATH"]}, stdin=pipe, stdout=pipe, stderr=log, text=True
        ) as process,
    ):
        try:
            server = OAuthServer(process)
            eventually(lambda: server.all("port"))
            yield server
        finally:
            process.kill()
