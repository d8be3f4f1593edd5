import json
import os
import subprocess
import sys

SCRIPT = """
import logging
from shared.log import configure_logging, get_logger
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
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert sorted((one["thread"], one["number"]) for one in told) == [(a, b) for a in range(6) for b in range(100)]


def test_a_process_without_standard_error_continues() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, SCRIPT], capture_output=True, check=True
    )
    assert done.stdout == b"went on\n"
