"""What processes have used so far, by the kernel's own account: CPU time, and memory at its highest."""

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PARENT, FIRST_TIME, AFTER_TIMES = 1, 11, 15
"""Where a process's stat has its parent, and its own and its ended children's user and system times."""
STOLEN = 8
"""Where the first line of the system's stat has its cores' stolen time, in ticks."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and all below it have used, those that ended included."""
    return sum(_ticks(member) for member in family(pid)) / CLOCK_TICKS


def peak_megabytes(pid: int) -> float:
    """Return the most memory that each process of a family has had, added up; shared pages count in each."""
    return sum(_peak_kilobytes(member) for member in family(pid)) / 1024


def resident_megabytes(pid: int) -> float:
    """Return the memory that a process has now."""
    return _kilobytes(pid, "VmRSS") / 1024


def stolen_seconds() -> float:
    """Return the CPU time that the cores would have worked and other machines of the same host had them (proc(5))."""
    with suppress(OSError):
        return int(Path("/proc/stat").read_text().split()[STOLEN]) / CLOCK_TICKS
    return 0.0


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children[int(fields[PARENT])].append(int(entry.name))
    found = [pid]
    for member in found:  # grows as it is walked
        found += children[member]
    return found


def _ticks(pid: int) -> int:
    return sum(map(int, _stat(pid)[FIRST_TIME:AFTER_TIMES]))


def _stat(pid: int) -> list[str]:
    """Return what follows the name in a process's stat; nothing when it has ended meanwhile."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _peak_kilobytes(pid: int) -> int:
    return _kilobytes(pid, "VmHWM")


def _kilobytes(pid: int, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0
