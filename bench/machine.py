"""Where a run was made, as far as it bears on the figures."""

import os
import platform
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
        "Python": platform.python_version(),
        "load when it began": f"{os.getloadavg()[0]:.1f}",
        "PostgreSQL": "18, embedded, durable commits, over its socket",
        "mail sink": mail_sink_program(0).name,
        "mail, bytes": len(mail_in(Locale.EN).content),
    }


def _gigabytes() -> int:
    return round(int(_found("/proc/meminfo", "MemTotal").removesuffix(" kB") or 0) / 1024**2)


def _found(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""
