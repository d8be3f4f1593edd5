from pathlib import Path

import pytest

from tests.support.shipping import Machine, build_wheel, copy_of_the_source


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = copy_of_the_source(tmp_path_factory.mktemp("source"), "1.0.0")
    return build_wheel(source, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def machine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine on which the release has been installed, and nothing filled in."""
    fresh = Machine(tmp_path_factory.mktemp("machine"))
    fresh.install(wheel)
    return fresh
