"""deploy/install.sh, into a root of its own: again and again, another release beside it, and back."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.shipping import Machine, build_wheel, copy_of_the_source
from tests.support.units import UNITS


@pytest.fixture(scope="module")
def next_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = copy_of_the_source(tmp_path_factory.mktemp("source"), "1.1.0")
    return build_wheel(source, tmp_path_factory.mktemp("dist"))


def test_installing_again_changes_nothing(machine: Machine, wheel: Path) -> None:
    before = contents(machine.root)
    assert "is there already" in machine.install(wheel)
    assert contents(machine.root) == before


def test_units_are_where_systemd_looks_and_run_what_is_installed(machine: Machine) -> None:
    installed = machine.root / "etc" / "systemd" / "system"
    assert {path.name: path.read_text() for path in installed.iterdir()} == {
        path.name: path.read_text() for path in UNITS.glob("*.service")
    }


def test_nobody_but_root_can_read_a_secret(machine: Machine) -> None:
    secrets = machine.configuration / "secrets"
    assert secrets.stat().st_mode & 0o077 == 0
    assert [path.name for path in secrets.iterdir() if path.stat().st_mode & 0o077] == []


def test_its_commands_name_the_place_where_they_will_be(machine: Machine) -> None:
    scripts = [path for path in (machine.current / "bin").iterdir() if path.is_file() and not path.is_symlink()]
    assert [path.name for path in scripts if str(machine.root).encode() in path.read_bytes()] == []
    assert (machine.current / "bin" / "api-service").read_text().startswith("#!/opt/signpost/releases/1.0.0/bin/python")


def test_a_new_release_leaves_settings_alone_and_the_old_one_can_be_gone_back_to(
    machine: Machine, wheel: Path, next_wheel: Path
) -> None:
    kept = {
        machine.configuration / "relay.env": "EMAIL_FROM=Ours <ours@example.org>\n",
        machine.configuration / "secrets" / "secret-keys": "mine\n",
    }
    before = {path: path.read_text() for path in kept}
    for path, text in kept.items():
        path.write_text(text)
    try:
        machine.install(next_wheel)
        assert str(machine.current.readlink()) == "releases/1.1.0"
        assert {path: path.read_text() for path in kept} == kept
        assert (machine.current.parent / "releases" / "1.0.0" / "bin" / "api-service").exists()

        machine.install(wheel)
        assert str(machine.current.readlink()) == "releases/1.0.0"
        assert {path: path.read_text() for path in kept} == kept
    finally:
        for path, text in before.items():
            path.write_text(text)


def test_an_installation_that_breaks_off_leaves_the_release_that_runs(machine: Machine, tmp_path: Path) -> None:
    broken = tmp_path / "signpost-9.9.9-py3-none-any.whl"
    broken.write_bytes(b"no wheel")
    environment = os.environ | {"DESTDIR": str(machine.root), "PYTHON": "/bin/false"}
    done = subprocess.run([ROOT / "deploy" / "install.sh", broken], env=environment, capture_output=True, check=False)
    assert done.returncode != 0
    assert str(machine.current.readlink()) == "releases/1.0.0"
    assert not (machine.current.parent / "releases" / "9.9.9").exists()


def contents(root: Path) -> dict[Path, tuple[int, str | bytes]]:
    """Return each file below with its mode and what it holds, but for what Python compiles by itself."""
    return {
        path: (path.lstat().st_mode, str(path.readlink()) if path.is_symlink() else path.read_bytes())
        for path in root.rglob("*")
        if (path.is_file() or path.is_symlink()) and "__pycache__" not in path.parts
    }
