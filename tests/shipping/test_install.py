"""deploy/install.sh in a folder as root: repeated, with another release, and back."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.commands import ROOT
from tests.support.eventually import eventually
from tests.support.shipping import TIMEOUT, Machine, build_wheel, copy_of_the_source
from tests.support.units import UNITS

INSTALL = ROOT / "deploy" / "install.sh"
QUICK_PYTHON = """#!/bin/sh
# Called as `python -m venv FOLDER`.
"{python}" -m venv --without-pip "$3"
cat >"$3/bin/pip" <<'PIP'
#!/bin/sh
case "$*" in *--require-hashes*) exit 0 ;; esac
exec "{python}" -m pip --python "$(dirname "$0")/python" "$@"
PIP
chmod 755 "$3/bin/pip"
{then}
"""


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
        path.name: path.read_text() for path in UNITS.iterdir()
    }


def test_the_tool_for_commands_runs_with_the_python_of_the_release(machine: Machine) -> None:
    tool = machine.root / "usr" / "local" / "sbin" / "signpost-run"
    assert tool.stat().st_mode & 0o777 == 0o755
    interpreter = tool.read_text().splitlines()[0].removeprefix("#!").split()[0]
    assert Path(f"{machine.root}{interpreter}").exists()


def test_manual_pages_and_completions_are_where_programs_look(machine: Machine) -> None:
    def files_in(folder: Path) -> dict[str, str]:
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}

    assert files_in(machine.root / "usr" / "local" / "share") == files_in(ROOT / "deploy" / "share")


def test_only_root_can_read_a_secret(machine: Machine) -> None:
    secrets = machine.configuration / "secrets"
    assert secrets.stat().st_mode & 0o077 == 0
    assert [path.name for path in secrets.iterdir() if path.stat().st_mode & 0o077] == []


def test_its_commands_contain_their_final_path(machine: Machine) -> None:
    scripts = [path for path in (machine.current / "bin").iterdir() if path.is_file() and not path.is_symlink()]
    assert [path.name for path in scripts if str(machine.root.parent).encode() in path.read_bytes()] == []
    assert (machine.current / "bin" / "api-service").read_text().startswith("#!/opt/signpost/releases/1.0.0/bin/python")


def test_a_new_release_keeps_the_settings_and_allows_a_rollback(
    machine: Machine, wheel: Path, next_wheel: Path, tmp_path: Path
) -> None:
    kept = {
        machine.configuration / "relay.env": "EMAIL_FROM=Ours <ours@example.org>\n",
        machine.configuration / "secrets" / "secret-keys": "mine\n",
    }
    before = {path: path.read_text() for path in kept}
    for path, text in kept.items():
        path.write_text(text)
    try:
        machine.install(next_wheel, python=quick_python(tmp_path))
        assert str(machine.current.readlink()) == "releases/1.1.0"
        assert {path: path.read_text() for path in kept} == kept
        assert (machine.current.parent / "releases" / "1.0.0" / "bin" / "api-service").exists()

        machine.install(wheel)
        assert str(machine.current.readlink()) == "releases/1.0.0"
        assert {path: path.read_text() for path in kept} == kept
    finally:
        for path, text in before.items():
            path.write_text(text)


@pytest.mark.parametrize("root", ["with spaces & [brackets]", "at its end/", "./from here on"])
def test_it_can_be_installed_below_any_folder_without_naming_it(root: str, wheel: Path, tmp_path: Path) -> None:
    done = install(wheel, DESTDIR=root, PYTHON=str(quick_python(tmp_path)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    installed = tmp_path / root / "opt" / "signpost" / "releases" / "1.0.0"
    assert "/opt/signpost/releases/1.0.0/bin/python" in (installed / "bin" / "api-service").read_text()
    assert [path.name for path in texts_in(installed) if str(tmp_path) in path.read_text()] == []


def test_all_units_can_read_the_installed_files_with_any_umask(wheel: Path, tmp_path: Path) -> None:
    done = install(wheel, DESTDIR=str(tmp_path / "root"), PYTHON=str(quick_python(tmp_path)), umask=0o077)
    assert done.returncode == 0, done.stderr
    below = [path for path in (tmp_path / "root" / "opt").rglob("*") if not path.is_symlink()]
    assert [path for path in below if not path.stat().st_mode & 0o004] == []
    assert (tmp_path / "root" / "etc" / "signpost" / "secrets").stat().st_mode & 0o077 == 0


def test_a_broken_wheel_changes_nothing_and_leaves_no_files(machine: Machine, tmp_path: Path) -> None:
    broken = tmp_path / "signpost-9.9.9-py3-none-any.whl"
    broken.write_bytes(b"no wheel")
    done = install(broken, DESTDIR=str(machine.root), PYTHON=str(quick_python(tmp_path)))
    assert done.returncode != 0
    assert str(machine.current.readlink()) == "releases/1.0.0"
    assert sorted(path.name for path in releases(machine.root)) == [".lock", "1.0.0", "1.1.0"]


def test_a_killed_installation_does_not_block_the_next(wheel: Path, tmp_path: Path) -> None:
    python = quick_python(tmp_path, then='kill -9 "$PPID"')
    killed = install(wheel, DESTDIR=str(tmp_path / "root"), PYTHON=str(python))
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in releases(tmp_path / "root") if path.name != ".lock"] == [".draft"]
    assert not (tmp_path / "root" / "opt" / "signpost" / "current").exists()

    done = install(wheel, DESTDIR=str(tmp_path / "root"), PYTHON=str(quick_python(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in releases(tmp_path / "root") if path.name != ".lock"] == ["1.0.0"]


def test_concurrent_installations_take_turns(wheel: Path, tmp_path: Path) -> None:
    go_on, begun = tmp_path / "go-on", tmp_path / "begun"
    python = quick_python(tmp_path, then=f'echo >>"{begun}"; until [ -e "{go_on}" ]; do sleep 0.05; done')
    environment = os.environ | {"DESTDIR": str(tmp_path / "root"), "PYTHON": str(python)}
    logs = [tmp_path / "one", tmp_path / "other"]
    both = []
    for log in logs:
        with log.open("w") as output:
            both.append(subprocess.Popen([INSTALL, wheel], env=environment, stdout=output, stderr=subprocess.STDOUT))
    try:
        eventually(lambda: any("waiting for another installation" in log.read_text() for log in logs), seconds=60)
    finally:
        go_on.touch()
    assert [each.wait(timeout=120) for each in both] == [0, 0], [log.read_text() for log in logs]
    assert begun.read_text() == "\n"
    assert sum("is there already" in log.read_text() for log in logs) == 1


def test_an_interpreter_that_units_cannot_see_is_rejected(wheel: Path) -> None:
    without = {key: value for key, value in os.environ.items() if key != "DESTDIR"}
    command, environment = [INSTALL, wheel], without | {"PYTHON": "/home/nobody/python3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "hidden from the units" in done.stderr) == (1, True), done.stderr


def test_installing_requires_root(wheel: Path) -> None:
    with TemporaryDirectory() as name:  # other users may enter it, unlike the tests' own folders
        Path(name).chmod(0o755)
        copies = [Path(shutil.copy(path, name)) for path in (INSTALL, wheel)]
        without = {key: value for key, value in os.environ.items() if key != "DESTDIR"}
        done = subprocess.run(copies, env=without, user=65534, capture_output=True, text=True, check=False)
    assert (done.returncode, "only root" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("name", ["notes.txt", "flask-3.0.0-py3-none-any.whl", "signpost.whl"])
def test_another_projects_wheel_is_rejected(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    done = install(tmp_path / name, DESTDIR=str(tmp_path / "root"))
    assert (done.returncode, done.stderr[:6]) == (2, "usage:")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("wheels", "error"),
    [
        ([], "usage: "),
        (["dist/signpost-*.whl"], "install: there is no file dist/signpost-*.whl"),
        (["signpost-1.0.0-py3-none-any.whl", "signpost-1.1.0-py3-none-any.whl"], "install: name one wheel, not 2: "),
    ],
    ids=["none", "not built yet", "two releases"],
)
def test_it_installs_one_wheel_and_explains_what_is_wrong_otherwise(
    wheels: list[str], error: str, tmp_path: Path
) -> None:
    environment = os.environ | {"DESTDIR": str(tmp_path / "root")}
    done = subprocess.run([INSTALL, *wheels], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[: len(error)]) == (2, error)
    assert not (tmp_path / "root").exists()


def install(wheel: Path, cwd: Path = ROOT, umask: int = -1, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [INSTALL, wheel],
        cwd=cwd,
        env=os.environ | settings,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )


def quick_python(folder: Path, *, then: str = ":") -> Path:
    """Write an interpreter whose environments contain only the project's wheel. Other tests cover locked packages.

    ``then`` is shell code that it runs after creating an environment.
    """
    python = folder / "python"
    python.write_text(QUICK_PYTHON.format(python=sys.executable, then=then))
    python.chmod(0o755)
    return python


def releases(root: Path) -> list[Path]:
    return list((root / "opt" / "signpost" / "releases").iterdir())


def texts_in(environment: Path) -> list[Path]:
    """Return the commands and the configuration of an environment, which contain its path."""
    files = [*(environment / "bin").iterdir(), environment / "pyvenv.cfg"]
    return [path for path in files if not path.is_symlink()]


def contents(root: Path) -> dict[Path, tuple[int, str | bytes]]:
    """Return each file below with its mode and content, except for compiled Python."""
    return {
        path: (path.lstat().st_mode, str(path.readlink()) if path.is_symlink() else path.read_bytes())
        for path in root.rglob("*")
        if (path.is_file() or path.is_symlink()) and "__pycache__" not in path.parts
    }
