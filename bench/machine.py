"""Where a run was made, as far as it bears on the figures."""

import os
import platform
import sys
from pathlib import Path

from bench.ground import mail_sink_program
from bench.mails import mail_in
from bench.report import Report
from shared.cores import cores
from shared.vocabulary import Locale


def machine() -> Report:
    """Describe the machine, and what was the same for all."""
    return {
        "machine": f"{_found('/proc/cpuinfo', 'model name') or platform.machine()}, "
        f"{cores()} cores, {_gigabytes()} GB, Linux {platform.release()}",
        "Python": f"{platform.python_version()}, {_whose(sys.base_prefix)}",
        "load when it began": f"{os.getloadavg()[0]:.1f}",
        "PostgreSQL": "18, embedded, durable commits, over its socket",
        "mail sink": mail_sink_program(0).name,
        "mail, bytes": len(mail_in(Locale.EN).content),
        "mail as it ships, bytes": len(mail_in(Locale.EN, None).content),
    }


def _whose(prefix: str) -> str:
    """Tell who is likely to have built it: a system's own is built with a profile, which makes a quarter."""
    return "the system's own" if prefix == "/usr" else "not the system's own"


def _gigabytes() -> int:
    return round(int(_found("/proc/meminfo", "MemTotal").removesuffix(" kB") or 0) / 1024**2)


def _found(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""
