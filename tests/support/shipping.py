"""A release as users install it: the wheel, and the result of deploy/install.sh in a folder."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import PROJECT, ROOT
from tests.support.units import CONFIGURATION, credentials_of, settings_given, values_of, words_of

PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
SHIPPED = (
    *PACKAGES,
    "deploy",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "requirements.lock",
    "requirements-setup.lock",
)
TIMEOUT = 600

# MemoryDenyWriteExecute= (prctl 65, Linux 6.3 or later) and NoNewPrivileges= (prctl 38) through the kernel:
# services must not need what their unit denies. Older kernels reject the first, and the test continues.
CONFINED = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.prctl(65, 1, 0, 0, 0)
libc.prctl(38, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def copy_of_the_source(folder: Path, version: str) -> Path:
    """Copy the release's sources, with that version."""
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "secrets"))
        else:
            shutil.copy(ROOT / name, folder / name)
    project = folder / "pyproject.toml"
    here = PROJECT["project"]["version"]
    project.write_text(project.read_text().replace(f'\nversion = "{here}"\n', f'\nversion = "{version}"\n'))
    return folder


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel with the locked tools of this environment, and return its path."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)
    [wheel] = folder.glob("*.whl")
    return wheel


@dataclass(frozen=True)
class Machine:
    """A folder used as a machine's file system, with one or more releases."""

    root: Path

    @property
    def configuration(self) -> Path:
        return Path(f"{self.root}{CONFIGURATION}")

    @property
    def current(self) -> Path:
        return self.root / "opt" / "signpost" / "current"

    def install(self, wheel: Path, source: Path = ROOT, python: str | Path = sys.executable) -> str:
        """Run the installation, and return its output."""
        environment = os.environ | {"DESTDIR": str(self.root), "PYTHON": str(python)}
        command = [source / "deploy" / "install.sh", wheel]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self, words: list[str]) -> list[str]:
        """Return how to run a command of the release here: its shebang has the path on a real machine."""
        return [str(self.current / "bin" / "python"), str(self.current / "bin" / words[0]), *words[1:]]

    def fill_in(self, secrets: dict[str, str], **settings: dict[str, str]) -> None:
        """Write the secret files and the environment files of the processes."""
        for name, value in secrets.items():
            path = self.configuration / "secrets" / name
            assert path.exists(), f"nothing reads {path.name}"
            path.write_text(f"{value}\n")
        for process, values in settings.items():
            with (self.configuration / f"{process}.env").open("a") as file:
                file.writelines(f"{name}={value}\n" for name, value in values.items())

    def unit(self, name: str, credentials: Path) -> tuple[list[str], dict[str, str]]:
        """Return the unit's confined command and its environment, with credentials laid out as by systemd."""
        copies = credentials / name
        copies.mkdir(parents=True, exist_ok=True)
        for credential, path in credentials_of(name).items():
            copy = copies / credential
            copy.unlink(missing_ok=True)
            copy.write_text(Path(f"{self.root}{path}").read_text())
            copy.chmod(0o400)
        environment = {key: value.replace("%d", str(copies)) for key, value in settings_given(name).items()}
        for file in values_of(name, "EnvironmentFile"):
            lines = Path(f"{self.root}{file}").read_text().splitlines()
            environment |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        return [sys.executable, "-c", CONFINED, *self.command(words_of(name))], environment
