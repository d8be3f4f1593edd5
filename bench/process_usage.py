"""CPU time and memory of processes, read from /proc."""

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PARENT, FIRST_TIME, AFTER_TIMES = 1, 11, 15
"""Fields of /proc/PID/stat after the name: the parent, and user and system time of the process and ended children."""
STOLEN = 8
"""The field of stolen time in the first line of /proc/stat."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, including ended ones."""
    return sum(_ticks(member) for member in family(pid)) / TICKS_PER_SECOND


def peak_megabytes(pid: int) -> float:
    """Return the sum of the peak memory of a process and its descendants. Shared pages count more than once."""
    return sum(_kilobytes(member, "VmHWM") for member in family(pid)) / 1024


def resident_megabytes(pid: int) -> float:
    """Return the current memory of one process."""
    return _kilobytes(pid, "VmRSS") / 1024


def private_megabytes(pid: int) -> float:
    """Return the sum of the current memory of a process and its descendants, without shared pages."""
    return sum(_kilobytes(member, "Private_Dirty", of="smaps_rollup") for member in family(pid)) / 1024


def stolen_seconds() -> float:
    """Return the CPU time that the hypervisor gave to other machines since boot (proc(5))."""
    with suppress(OSError):
        return int(Path("/proc/stat").read_text().split()[STOLEN]) / TICKS_PER_SECOND
    return 0.0


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children[int(fields[PARENT])].append(int(entry.name))
    found = [pid]
    for member in found:  # the list grows while it is iterated
        found += children[member]
    return found


def _ticks(pid: int) -> int:
    return sum(map(int, _stat(pid)[FIRST_TIME:AFTER_TIMES]))


def _stat(pid: int) -> list[str]:
    """Return the fields after the process name, or an empty list if the process has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _kilobytes(pid: int, name: str, of: str = "status") -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{of}").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0
