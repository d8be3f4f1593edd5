"""Hashing in threads of their own."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

import pytest

from api_service import hashing
from api_service.hashing import Hashers, share_of

FORKED_BEHIND_A_HASH = """
import os, sys
from api_service.passwords import hashed, is_password_of
before = hashed("four quiet words here")
child = os.fork()
if child == 0:
    os._exit(0 if is_password_of(before, "four quiet words here") else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(
    ("cores", "processes", "share"), [(8, 8, 1), (8, 1, 8), (8, 3, 3), (2, 4, 1), (1, 1, 1), (1, 256, 1)]
)
def test_processes_share_the_cores(cores: int, processes: int, share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "cores", lambda: cores)
    assert share_of(processes) == share


def test_one_of_three_processes_on_six_cores_does_two_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "cores", lambda: 6)
    hashers, meeting = Hashers(), Barrier(2)
    hashers.share_cores(3)

    def met() -> int:
        meeting.wait(timeout=10)  # which only two can keep that are at work at once
        return get_ident()

    with ThreadPoolExecutor(8) as requests:
        workers = set(requests.map(lambda _: hashers.run(met), range(8)))

    assert len(workers) == 2


def test_what_hashing_raises_is_raised() -> None:
    def fails() -> None:
        raise ValueError("not a hash")

    with pytest.raises(ValueError, match="not a hash"):
        Hashers().run(fails)


def test_a_process_that_is_forked_off_behind_a_hash_can_hash() -> None:
    subprocess.run([sys.executable, "-c", FORKED_BEHIND_A_HASH], check=True, timeout=30)
