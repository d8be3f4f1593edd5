import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from devstack.janitor import Janitor
from devstack.processes import Process, ProcessError, Program
from tests.support.process_table import MARK_VARIABLE, marked_environment, marked_processes, wait_until_gone

pytestmark = pytest.mark.slow

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STUBBORN!r}])"

# Starts a server and a process with a child under supervision, prints their folder, and waits to be killed.
KILLED_WITHOUT_WARNING = f"""
import os, signal, sys, tempfile
from pathlib import Path
from devstack.cluster import QUICK_AND_FORGETFUL, Cluster, embedded_binaries
from devstack.janitor import Janitor
from devstack.processes import Process, Program

with Janitor() as janitor:
    folder = Path(tempfile.mkdtemp())
    janitor.watch_folder(folder)
    cluster = Cluster(embedded_binaries(), settings=QUICK_AND_FORGETFUL)
    janitor.watch_server(cluster.folder)
    with cluster:
        Process(Program("parent", (sys.executable, "-c", {PARENT!r}), dict(os.environ)), folder, janitor).start()
        print(folder, cluster.folder, flush=True)
        signal.pause()
"""


@pytest.fixture
def mark() -> str:
    return uuid4().hex


@pytest.fixture
def janitor() -> Iterator[Janitor]:
    with Janitor() as janitor:
        yield janitor


def a_program(mark: str, source: str, ready_url: str | None = None) -> Program:
    return Program("program", (sys.executable, "-c", source), {MARK_VARIABLE: mark}, ready_url)


def wait_for_line(process: Process) -> None:
    process.start()
    deadline = time.monotonic() + 10
    while process.log.read_text() == "":
        assert time.monotonic() < deadline
        process.raise_if_ended()


def test_a_process_that_ends_before_it_is_ready_is_reported_with_its_log(
    tmp_path: Path, janitor: Janitor, mark: str
) -> None:
    program = a_program(mark, "raise SystemExit('no luck today')", "http://127.0.0.1:9/readyz")
    process = Process(program, tmp_path, janitor)
    process.start()
    with pytest.raises(ProcessError, match=r"program ended by itself with 1\n.*program's log:\nno luck today"):
        process.wait_until_ready()


def test_a_failed_command_is_reported_with_its_log(tmp_path: Path, janitor: Janitor, mark: str) -> None:
    with pytest.raises(ProcessError, match=r"program ended with 1\n.*\nno luck today"):
        Process(a_program(mark, "raise SystemExit('no luck today')"), tmp_path, janitor).run()


def test_stopping_kills_a_process_that_ignores_signals(tmp_path: Path, janitor: Janitor, mark: str) -> None:
    process = Process(a_program(mark, STUBBORN), tmp_path, janitor, grace_seconds=0)
    wait_for_line(process)
    process.stop()
    assert wait_until_gone(mark) == {}


def test_stopping_ends_children_that_outlive_their_parent(tmp_path: Path, janitor: Janitor, mark: str) -> None:
    process = Process(a_program(mark, PARENT), tmp_path, janitor)
    wait_for_line(process)
    assert len(marked_processes(mark)) == 2
    process.stop()
    assert wait_until_gone(mark) == {}


def test_a_process_does_not_inherit_the_environment(tmp_path: Path, janitor: Janitor, mark: str) -> None:
    process = Process(a_program(mark, "import os; print(sorted(os.environ))"), tmp_path, janitor)
    process.run()
    assert "PATH" not in process.log.read_text()
    assert MARK_VARIABLE in process.log.read_text()


def test_after_a_kill_all_processes_are_ended_and_their_files_removed(mark: str) -> None:
    command = [sys.executable, "-c", KILLED_WITHOUT_WARNING]
    with subprocess.Popen(command, env=marked_environment(mark), stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        folder, server = map(Path, killed.stdout.readline().split())
        assert any("postgres" in line for line in marked_processes(mark).values())
        killed.send_signal(signal.SIGKILL)
    assert wait_until_gone(mark) == {}
    assert not folder.exists()
    assert not server.exists()
