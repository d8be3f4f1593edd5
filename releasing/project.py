"""The project's files that matter for a release."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TAG = re.compile(r"^v\d+\.\d+\.\d+$")


def version(root: Path) -> str:
    """Return the version from pyproject.toml."""
    found: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return found


def locked(root: Path) -> list[str]:
    """Return the names of a server's packages, from requirements.lock."""
    return re.findall(r"^([A-Za-z0-9._-]+)==", (root / "requirements.lock").read_text(), re.MULTILINE)


def git(root: Path, *arguments: str) -> str:
    """Return git's output. Raises CalledProcessError, with git's message, if it fails."""
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.removesuffix("\n")  # noqa: S603 - our own


def releases(root: Path) -> list[str]:
    """Return the tags of the releases before HEAD, newest first."""
    tags = git(root, "tag", "--merged", "HEAD", "--sort=-version:refname", "v*").splitlines()
    return [tag for tag in tags if TAG.match(tag)]
