import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.shipping import Machine, build_wheel, copy_of_the_source

FETCH = (sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary", ":all:")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = copy_of_the_source(tmp_path_factory.mktemp("source"), "1.0.0")
    return build_wheel(source, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def locked_wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fetch what the locks name, once: whatever is installed from then on finds it here, and asks no index."""
    folder = tmp_path_factory.mktemp("locked")
    locks = [f"--requirement={ROOT / name}" for name in ("requirements-setup.lock", "requirements.lock")]
    subprocess.run([*FETCH, *locks, f"--dest={folder}"], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        yield


@pytest.fixture(scope="session")
def machine(wheel: Path, locked_wheels: None, tmp_path_factory: pytest.TempPathFactory) -> Machine:  # noqa: ARG001 - it is in the environment
    """A machine on which the release has been installed, and nothing filled in."""
    fresh = Machine(tmp_path_factory.mktemp("machine"))
    fresh.install(wheel)
    return fresh
