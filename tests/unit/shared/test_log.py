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


def test_lines_of_ours_and_of_libraries_come_in_one_form() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    ours, theirs = (json.loads(line) for line in done.stderr.splitlines())
    assert ours.pop("timestamp") <= theirs.pop("timestamp")
    assert ours == {"event": "ours", "level": "info", "service": "a-service", "count": 1}
    assert theirs == {"event": "theirs", "level": "warning", "service": "a-service"}


def test_a_log_that_nobody_reads_any_more_stops_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=writer, check=False)
    finally:
        os.close(writer)
    assert done.stdout == b"went on\n"
