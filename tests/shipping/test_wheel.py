"""The wheel contains all source files, and its commands work in an otherwise empty environment."""

import re
import subprocess
import zipfile
from importlib import import_module
from pathlib import Path

import click
import pytest

from tests.support.commands import PROGRAMS
from tests.support.shipping import PACKAGES, ROOT, Machine

# Runs all commands in one process, which imports them once.
ASK_EACH = """
import importlib, sys
module, name, *commands = sys.argv[1:]
program = getattr(importlib.import_module(module), name)
for command in commands:
    program.main([command, "--help"], standalone_mode=False)
"""


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - packed == set()
    assert {name for name in packed if ".dist-info/" not in name} - files == set()
    needed = ("common_passwords.txt", ".mjml", ".po", ".css", ".html", "/0001_baseline.py", ".sql", "script.py.mako")
    assert [ending for ending in needed if not any(name.endswith(ending) for name in packed)] == []


@pytest.mark.parametrize("program", sorted(PROGRAMS.keys() - {"devstack"}))  # its parts come with an extra
def test_each_command_shows_its_help_with_only_the_wheel_installed(machine: Machine, program: str) -> None:
    done = subprocess.run(machine.command([program, "--help"]), capture_output=True, text=True, check=False)
    assert (done.returncode, "Usage:" in done.stdout) == (0, True), done.stderr

    commands = commands_of(program)
    command = [machine.current / "bin" / "python", "-I", "-c", ASK_EACH, *PROGRAMS[program].split(":"), *commands]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("Usage:")) == (0, len(commands)), done.stderr


def test_the_environment_contains_exactly_the_locked_packages(machine: Machine) -> None:
    listed = subprocess.run(
        [machine.current / "bin" / "python", "-m", "pip", "list", "--format=freeze"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    installed = {re.sub(r"[-_.]+", "-", line.split("==")[0].lower()) for line in listed}
    assert installed - {"pip", "setuptools", "signpost"} <= locked
    assert "signpost==1.0.0" in listed


def test_each_command_shows_the_wheels_version(machine: Machine) -> None:
    printed = subprocess.run(machine.command(["api-service", "openapi"]), capture_output=True, text=True, check=True)
    assert '"version": "1.0.0"' in printed.stdout


def commands_of(program: str) -> list[str]:
    module, _, name = PROGRAMS[program].partition(":")
    found: click.Command = getattr(import_module(module), name)
    return list(found.commands) if isinstance(found, click.Group) else []
