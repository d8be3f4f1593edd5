"""The image: its build steps run in a folder, and with a container engine, the image is built and started."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support.commands import PROGRAMS, ROOT
from tests.support.dockerfile import stages
from tests.support.eventually import eventually

TIMEOUT = 600
COMPILERS = ("cc", "gcc", "g++", "clang", "rustc", "cargo", "make")


@pytest.fixture(scope="module")
def built(locked_wheels: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - the fixture sets the environment
    """Run the first stage in a folder: its copies and its commands."""
    root = tmp_path_factory.mktemp("image")
    source = root / "src"
    source.mkdir()
    tools = tools_without_compilers(root / "tools")
    for instruction in stages()[0]:
        if instruction.word == "COPY":
            copy(instruction.rest.split(), source)
        if instruction.word == "RUN":
            done = subprocess.run(
                ["sh", "-ec", placed(instruction.rest, root)],
                cwd=source,
                # Running a command compiles the modules it imports.
                env=os.environ | {"PATH": str(tools), "PIP_NO_COMPILE": "1"},
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT,
            )
            assert done.returncode == 0, f"{instruction.rest}: {done.stderr[-2000:]}"
    return root


def test_the_images_steps_need_no_compiler_and_install_each_command(built: Path) -> None:
    commands = built / "opt" / "signpost" / "bin"
    for command in PROGRAMS.keys() - {"devstack"}:  # its parts come with an extra that a server does not need
        result = subprocess.run([commands / command, "--help"], capture_output=True, text=True, check=False)
        assert "Usage:" in result.stdout, result.stderr


def test_the_image_contains_no_installer_and_no_compiler(built: Path) -> None:
    names = {path.name for path in (built / "opt" / "signpost" / "bin").iterdir()}
    assert [name for name in names if name.startswith("pip") or name in {"uv", "hatchling", *COMPILERS}] == []


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[list[str]]:
    """Return the engine's command line for these containers. Skip the test on a machine without one."""
    if shutil.which("docker") is None:
        pytest.skip("this machine has no docker")
    for asked, lack in ((["info"], "no engine that answers"), (["compose", "version"], "no docker compose")):
        done = subprocess.run(["docker", *asked], capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            pytest.skip(f"this machine has docker, but {lack}")
    source = tmp_path / "signpost"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "secrets"))
    subprocess.run([source / "deploy" / "docker" / "make-secrets.sh"], check=True)
    compose = ["docker", "compose", "--project-name", "signpost-test", "--project-directory", str(source)]
    yield compose
    subprocess.run([*compose, "down", "--volumes", "--timeout", "5"], check=False, timeout=TIMEOUT)


def test_with_three_relays_a_registrations_mail_arrives(engine: list[str]) -> None:
    subprocess.run([*engine, "config", "--quiet"], check=True)
    up = [*engine, "--profile", "local", "up", "--build", "--detach", "--wait", "--scale", "relay=3"]
    subprocess.run([*up, "api", "relay", "postgres", "mailpit"], check=True, timeout=TIMEOUT)
    body = {"email": "ada@example.org", "password": "a walk by the harbour"}
    assert httpx.post("http://127.0.0.1:8000/v1/registrations", json=body, timeout=30).status_code == 202
    eventually(lambda: mails() == 1, seconds=60)
    identity = subprocess.run([*engine, "exec", "-T", "api", "id", "-u"], capture_output=True, text=True, check=True)
    assert identity.stdout.strip() == "10001"


def mails() -> int:
    with suppress(httpx.TransportError):
        return int(httpx.get("http://127.0.0.1:8025/api/v1/messages", timeout=5).json()["total"])
    return 0


def copy(words: list[str], source: Path) -> None:
    *names, _ = words
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)


def placed(command: str, root: Path) -> str:
    """Return the command with its absolute paths below the root."""
    return re.sub(r"(?<!\S)/(build|opt/signpost|dist)\b", rf"{root}/\1", command)


def tools_without_compilers(folder: Path) -> Path:
    """Create a folder with all tools of the shell except compilers."""
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(":")):
        for path in Path(place).glob("*") if Path(place).is_dir() else ():
            if not path.name.startswith(COMPILERS) and "-gcc" not in path.name and "-g++" not in path.name:
                link = folder / path.name
                link.unlink(missing_ok=True)
                link.symlink_to(path)
    (folder / "python").unlink(missing_ok=True)
    (folder / "python").symlink_to(sys.executable)
    return folder
