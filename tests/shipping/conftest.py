import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.shipping import Machine, build_wheel, copy_of_the_source

FETCH = (sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary", ":all:")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        build_wheel(copy_of_the_source(tmp_path_factory.mktemp("source"), "1.0.0"), folder)

    [wheel] = created_once(tmp_path_factory, "dist", make).iterdir()
    return wheel


@pytest.fixture(scope="session")
def locked_wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Download the locked packages once. Later installations find them here and use no index."""

    def make(folder: Path) -> None:
        locks = [f"--requirement={ROOT / name}" for name in ("requirements-setup.lock", "requirements.lock")]
        subprocess.run([*FETCH, *locks, f"--dest={folder}"], check=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(created_once(tmp_path_factory, "locked", make)))
        patch.setenv("PIP_NO_INDEX", "1")
        yield


@pytest.fixture(scope="session")
def machine(wheel: Path, locked_wheels: None, tmp_path_factory: pytest.TempPathFactory) -> Machine:  # noqa: ARG001 - the fixture sets the environment
    """A machine with the release installed and unconfigured: one copy per worker."""
    installed = created_once(tmp_path_factory, "machine", lambda root: Machine(root).install(wheel))
    root = installed.with_name(f"machine-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")
    shutil.copytree(installed, root, symlinks=True)
    return Machine(root)


def created_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that the first worker creates while other workers wait."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.with_suffix(".made").exists():
            folder.mkdir()
            make(folder)
            folder.with_suffix(".made").touch()
    return folder
