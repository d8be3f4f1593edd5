"""Hashing in threads of their own, of which processes have as many as cores between them."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from resource import RUSAGE_THREAD, getrusage
from threading import Barrier, BrokenBarrierError, Event, current_thread, get_ident
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher, extract_parameters

from api_service.security import hashing, passwords
from api_service.security.hashing import Hashers, share_of
from tests.support.eventually import eventually

BEHIND_A_HASH = """
import os, sys
from api_service.security.passwords import hash_password, verify_password

before = hash_password("four quiet words here")
child = os.fork()
if child == 0:
    os._exit(0 if verify_password(before, "four quiet words here") else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

# Prints how many did something at once: alone, beside a process that hashes, and once that was killed.
OF_TWO_PROCESSES = """
import os, signal
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import sleep
from types import SimpleNamespace
from api_service import server
from api_service.security import hashing

hashing.cores = lambda: 2
server.HASHERS = hashers = hashing.Hashers()
server.create_app = lambda settings: None
settings = SimpleNamespace(bind=("127.0.0.1", 0), workers=2, threads=4)
end_of_child = server.configuration(settings)["child_exit"]
server.app_of_worker(settings)
lock, now, most = Lock(), 0, 0

def work():
    global now, most
    with lock:
        now += 1
        most = max(most, now)
    # Long enough for another to come, who comes at once where it may: each of the six looks whether it met one.
    sleep(0.1)
    with lock:
        now -= 1

def most_at_once():
    global most
    most = 0
    with ThreadPoolExecutor(6) as requests:
        for request in [requests.submit(hashers.run, work) for _ in range(6)]:
            request.result()
    return most

print(most_at_once())
told, telling = os.pipe()
child = os.fork()
if child == 0:
    hashers.run(lambda: (os.write(telling, b"."), sleep(60)))
os.read(told, 1)
print(most_at_once())
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
end_of_child(None, SimpleNamespace(pid=child))
print(most_at_once())
"""


WHILE_IT_ENDS = """
from threading import Thread
from time import sleep
from api_service.security.hashing import Hashers

hashers = Hashers()

def request():
    for _ in range(3):
        hashers.run(lambda: sleep(0.1))
        print("done")

Thread(target=request).start()
"""


@pytest.mark.parametrize(
    ("cores", "processes", "share"), [(8, 8, 1), (8, 1, 8), (8, 3, 2), (2, 4, 1), (1, 1, 1), (1, 256, 1)]
)
def test_processes_share_the_cores(cores: int, processes: int, share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "cores", lambda: cores)
    assert share_of(processes) == share


@pytest.fixture
def hashers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hashers]:
    """Hashers of a machine with three cores."""
    monkeypatch.setattr(hashing, "cores", lambda: 3)
    return Hashers()


@pytest.mark.parametrize(("parties", "is_met"), [(3, True), (4, False)])
def test_as_many_work_at_once_as_there_are_cores(hashers: Hashers, parties: int, *, is_met: bool) -> None:
    meeting = Barrier(parties)

    def meet() -> bool:
        try:
            meeting.wait(timeout=60 if is_met else 0.2)
        except BrokenBarrierError:
            return False
        return True

    with ThreadPoolExecutor(parties) as requests:
        met = list(requests.map(lambda _: hashers.run(meet), range(parties)))
    assert met == [is_met] * parties


def test_whichever_worked_last_works_next_with_its_memory_warm(hashers: Hashers) -> None:
    assert len({hashers.run(get_ident) for _ in range(5)}) == 1


def test_passwords_are_hashed_and_compared_in_those_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def watched(*_arguments: str) -> str:
        seen.append(current_thread().name)
        return "a hash"

    monkeypatch.setattr(passwords, "_hasher", SimpleNamespace(hash=watched, verify=watched))
    passwords.hash_password("four quiet words here")
    passwords.verify_password("a hash", "four quiet words here")

    assert seen == ["hashing", "hashing"]


def test_a_hash_has_the_memory_of_the_one_before_and_is_handed_none_by_the_kernel(hashers: Hashers) -> None:
    hasher = PasswordHasher.from_parameters(extract_parameters(passwords.DUMMY_HASH))

    def pages_handed_out() -> int:
        before = getrusage(RUSAGE_THREAD).ru_minflt
        hasher.hash("four quiet words here")
        return getrusage(RUSAGE_THREAD).ru_minflt - before

    *_, third = [hashers.run(pages_handed_out) for _ in range(3)]

    assert third < 100


def test_what_work_raises_is_raised_and_the_next_has_its_turn(hashers: Hashers) -> None:
    def fails() -> None:
        raise ValueError("not a hash")

    for _ in range(5):
        with pytest.raises(ValueError, match="not a hash"):
            hashers.run(fails)
    assert hashers.run(lambda: "done") == "done"


def test_a_process_that_is_forked_off_behind_a_hash_can_hash() -> None:
    subprocess.run([sys.executable, "-c", BEHIND_A_HASH], check=True, timeout=120)


def test_beside_one_that_hashes_a_process_keeps_to_its_share() -> None:
    done = subprocess.run([sys.executable, "-c", OF_TWO_PROCESSES], check=True, timeout=120, capture_output=True)
    assert done.stdout.split() == [b"2", b"1", b"2"]


def test_requests_are_served_though_the_process_was_told_to_end() -> None:
    done = subprocess.run([sys.executable, "-c", WHILE_IT_ENDS], check=True, timeout=120, capture_output=True)
    assert done.stdout.split() == [b"done"] * 3


def test_whoever_came_first_is_served_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "cores", lambda: 1)
    hashers, served, is_first_under_way, may_go_on = Hashers(), [], Event(), Event()

    def first() -> None:
        is_first_under_way.set()
        may_go_on.wait(60)

    with ThreadPoolExecutor(9) as requests:
        requests.submit(hashers.run, first)
        is_first_under_way.wait(60)
        for number in range(8):
            requests.submit(hashers.run, partial(served.append, number))
            eventually(lambda number=number: len(hashers._turns) == number + 1)  # noqa: SLF001
        may_go_on.set()
    assert served == list(range(8))
