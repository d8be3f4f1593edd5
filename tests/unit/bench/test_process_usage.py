import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.process_usage import cpu_seconds, family, peak_megabytes, resident_megabytes, stolen_seconds
from shared.host import cpu_count
from tests.support.eventually import eventually

PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "while __import__('time').process_time() < 0.3: pass"])
child = subprocess.Popen([sys.executable, "-c", "memory = b'x' * 50_000_000; print('ready', flush=True); input()"],
                         stdin=subprocess.PIPE, stdout=sys.stdout)
input()
child.communicate()
"""


@pytest.fixture(scope="module")
def parent() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.communicate(b"\n")


def test_cpu_time_includes_ended_children(parent: subprocess.Popen[bytes]) -> None:
    assert cpu_seconds(parent.pid) >= 0.3


def test_a_family_is_a_process_and_its_descendants(parent: subprocess.Popen[bytes]) -> None:
    child = eventually(lambda: family(parent.pid)[1:])
    assert len(child) == 1
    assert set(family(parent.pid)) < set(family(os.getpid()))


def test_memory_is_counted_for_a_family_or_one_process(parent: subprocess.Popen[bytes]) -> None:
    assert peak_megabytes(parent.pid) > resident_megabytes(parent.pid) + 40


def test_an_ended_process_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert (cpu_seconds(ended.pid), peak_megabytes(ended.pid)) == (0, 0)


def test_stolen_time_is_limited_to_the_time_of_all_cores() -> None:
    since_boot = float(Path("/proc/uptime").read_text().split()[0])
    before = stolen_seconds()
    assert 0 <= before <= stolen_seconds() <= since_boot * cpu_count()
