import json
import marshal
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from shared.log import PACKAGES, ROOT

SCRIPT = """
import logging
from shared.log import configure_logging, get_logger
configure_logging("another-service", "debug")
configure_logging("a-service", "info")
get_logger("part").debug("not heard")
get_logger("part").info("ours", count=1)
logging.getLogger("library").info("not heard")
logging.getLogger("library").warning("theirs")
print("went on")
"""

MANY = """
import threading
from shared.log import configure_logging, get_logger
configure_logging("a-service", "info")
def tell(thread):
    for number in range(100):
        get_logger(str(thread)).info("x" * 9000, thread=thread, number=number)
threads = [threading.Thread(target=tell, args=[thread]) for thread in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_own_and_library_events_have_one_form() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    ours, theirs = (json.loads(line) for line in done.stderr.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", ours["timestamp"])
    assert ours.pop("timestamp") <= theirs.pop("timestamp")
    assert ours == {"event": "ours", "level": "info", "service": "a-service", "count": 1}
    assert theirs == {"event": "theirs", "level": "warning", "service": "a-service"}


def test_a_closed_pipe_does_not_stop_the_process() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=writer, check=False)
    finally:
        os.close(writer)
    assert done.stdout == b"went on\n"


def test_unbuffered_long_lines_of_threads_stay_whole() -> None:
    done = subprocess.run([sys.executable, "-u", "-c", MANY], capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert sorted((one["thread"], one["number"]) for one in events) == [(a, b) for a in range(6) for b in range(100)]


def test_a_process_without_standard_error_continues() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, SCRIPT], capture_output=True, check=True
    )
    assert done.stdout == b"went on\n"


IN_THE_JOURNAL = """
import logging
from shared.log import configure_logging, get_logger
from shared.settings import SettingsError, exit_with_errors
configure_logging("a-service", "debug")
for level in ("debug", "info", "warning", "error", "critical"):
    getattr(get_logger("part"), level)(level)
get_logger("part").exception("exception")
logging.getLogger("library").warning("theirs")
exit_with_errors(SettingsError(["NAME is not set"]))
"""


@pytest.mark.parametrize("is_journal", [True, False])
def test_only_lines_for_the_journal_begin_with_their_priority(*, is_journal: bool) -> None:
    ours, theirs = socket.socketpair()
    status = os.fstat(theirs.fileno())
    stream = f"{status.st_dev}:{status.st_ino + (not is_journal)}"
    with ours, theirs:
        command = [sys.executable, "-c", IN_THE_JOURNAL]
        subprocess.run(command, stderr=theirs, env=os.environ | {"JOURNAL_STREAM": stream}, check=False)
        theirs.close()
        *lines, last = b"".join(iter(lambda: ours.recv(65_536), b"")).decode().splitlines()
    priorities = ["<7>", "<6>", "<4>", "<3>", "<2>", "<3>", "<4>"] if is_journal else [""] * 7
    assert [line.partition("{")[0] for line in lines] == priorities
    events = [json.loads(line[len(priority) :])["event"] for line, priority in zip(lines, priorities, strict=True)]
    assert events == ["debug", "info", "warning", "error", "critical", "exception", "theirs"]
    assert last == ("<3>" if is_journal else "") + "settings: NAME is not set"


FAILING = """
import json
import logging
from contextlib import suppress
from shared.log import configure_logging, get_logger
from shared.secrets import SecretKeys
configure_logging("a-service", "info")
def fail(depth):
    if depth:
        fail(depth - 1)
    raise ValueError("ada@example.org")
for log in (get_logger("part").exception, logging.getLogger("library").exception):
    try:
        fail(0)
    except ValueError:
        log("failed")
try:
    fail(12)
except ValueError as error:
    get_logger("part").error("failed", exc_info=error)
    get_logger("part").error("failed", exc_info=ExceptionGroup("ada@example.org", [ExceptionGroup("x", [error])]))
try:
    SecretKeys({})["k"]
except LookupError:
    get_logger("part").exception("failed")
try:
    json.loads("{")
except ValueError:
    get_logger("part").exception("failed")
import jwt
try:
    jwt.decode("no token", "k" * 32, algorithms=["HS256"])
except jwt.InvalidTokenError:
    get_logger("part").exception("failed")
get_logger("part").error("failed", exc_info=(ValueError, ValueError("ada@example.org"), None))
get_logger("part").error("failed", exc_info=True)
logging.getLogger("library").error("failed", exc_info=(None, None, None))
"""


def test_an_exception_is_logged_by_its_class_and_trace_and_without_its_text() -> None:
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, check=True)
    assert "ada@" not in done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line.get("error") for line in lines] == [
        *["ValueError"] * 4, "UnknownKeyError", "JSONDecodeError", "DecodeError", "ValueError", None, None,
    ]  # fmt: skip
    assert all("exc_info" not in line and "exception" not in line for line in lines)
    assert lines[0]["trace"] == lines[1]["trace"] == ["<string>:11"]
    assert lines[2]["trace"] == lines[3]["trace"] == ["<string>:11"]


def test_a_trace_has_the_lines_of_this_project_and_the_innermost_line() -> None:
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, check=True)
    ours, theirs, installed = (json.loads(line) for line in done.stderr.splitlines()[4:7])
    [raised] = ours["trace"]
    assert re.fullmatch(r"shared/secrets\.py:\d+", raised)
    [innermost] = theirs["trace"]
    assert re.fullmatch(r"/.*/json/decoder\.py:\d+", innermost)
    [innermost] = installed["trace"]
    assert re.fullmatch(r".*/jwt/\w+\.py:\d+", innermost)


def test_a_trace_has_at_most_eight_lines_of_this_project(tmp_path: Path) -> None:
    depths = "\n".join(f"def at_{depth}(): at_{depth + 1}()" for depth in range(10))
    module = ROOT / "shared" / "log.py"
    code = compile(f"{depths}\ndef at_10(): 1 / 0", str(module), "exec")
    script = tmp_path / "deep.py"
    script.write_text(
        "import marshal, sys\nfrom shared.log import configure_logging, get_logger\n"
        'configure_logging("a-service", "info")\n'
        f"exec(marshal.loads({marshal.dumps(code)!r}))\n"
        'try:\n    at_0()\nexcept ArithmeticError:\n    get_logger("part").exception("failed")\n'
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert json.loads(done.stderr)["trace"] == [f"shared/log.py:{line}" for line in range(4, 12)]


def test_traces_have_the_lines_of_all_packages_of_a_service() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted({*PACKAGES, "devstack"}) == sorted(packages)
