import os
import re
import signal
import subprocess
import sysconfig
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.process_table import marked_environment, marked_processes, wait_until_gone

pytestmark = pytest.mark.slow

DEVSTACK = Path(sysconfig.get_path("scripts")) / "devstack"
END_SECONDS = 60


@pytest.fixture
def mark() -> str:
    return uuid4().hex


@contextmanager
def up(mark: str) -> Iterator["subprocess.Popen[str]"]:
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([DEVSTACK, "up"], env=marked_environment(mark), **output) as process:
        try:
            yield process
        finally:
            process.terminate()


def line_of(process: "subprocess.Popen[str]", word: str) -> str:
    assert process.stdout is not None
    return next(line for line in process.stdout if word in line).split()[-1]


def test_the_demo_prints_each_step_and_leaves_no_process(mark: str) -> None:
    done = subprocess.run(
        [DEVSTACK, "demo"], env=marked_environment(mark), capture_output=True, text=True, timeout=150, check=False
    )
    steps = re.findall(r"^ok +(\d+) .* \d+\.\d ms$", done.stdout, re.MULTILINE)
    assert steps == [str(number) for number in range(1, 11)], done.stdout + done.stderr
    assert done.returncode == 0
    assert marked_processes(mark) == {}


def test_up_ends_with_1_and_cleans_up_when_one_of_its_processes_is_killed(mark: str) -> None:
    with up(mark) as process:
        api, inbox, logs = (line_of(process, word) for word in ("API", "Inbox", "Logs"))
        for url in (f"{api}/openapi.json", f"{inbox}/messages.json"):
            assert urllib.request.urlopen(url, timeout=10).status == 200
        [relay] = [pid for pid, command in marked_processes(mark).items() if command.endswith("outbox-relay run")]
        os.kill(relay, signal.SIGKILL)
        rest, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 1
    assert "outbox-relay ended by itself with -9" in rest
    assert marked_processes(mark) == {}
    assert not Path(logs).exists()


@pytest.mark.parametrize("received", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_up_leaves_no_process_when_a_signal_arrives_during_startup(mark: str, received: signal.Signals) -> None:
    with up(mark) as process:
        line_of(process, "Starting")
        process.send_signal(received)
        rest, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, rest
    assert wait_until_gone(mark) == {}
