"""An SMSC that is built on another SMPP library than our own code: the npm package ``smpp``, where it is installed."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("smpp_server.js")
MODULES = ROOT / ".venv" / "node_modules"


class NodeSmsc:
    """The process, and the events that it has printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.events: list[dict[str, Any]] = []
        self._process = process
        Thread(target=self._read, daemon=True).start()

    @property
    def port(self) -> int:
        [port] = self.all("port")
        return int(port)

    def all(self, name: str) -> list[Any]:
        """Return the values of the events with that name."""
        return [event[name] for event in list(self.events) if name in event]

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.events.append(json.loads(line))


@contextmanager
def node_smsc(role: str = "one") -> Iterator[NodeSmsc]:
    """Run the SMSC. With the role ``two``, it refuses bind_transceiver. With ``later``, receipts need another bind."""
    node = shutil.which("node")
    if node is None or not (MODULES / "smpp").is_dir():
        pytest.skip("this machine has no node, or not its package smpp")
    command = [node, str(SCRIPT), role]
    environment = {"NODE_PATH": str(MODULES), "PATH": os.environ["PATH"]}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            smsc = NodeSmsc(process)
            eventually(lambda: smsc.all("port"))
            yield smsc
        finally:
            process.kill()
