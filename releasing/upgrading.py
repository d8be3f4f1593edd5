"""Run the previous release's tests on this release's schema, which proves that both releases can use it.

Between `migrate` and the last restart, and after a rollback, the old code runs on the new schema. The old release's
tests cover what it needs. They run unchanged, except that this release's migrations create the schema.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from releasing.project import git

SCHEMA_FROM = "SIGNPOST_TEST_SCHEMA_FROM"
"""The variable with the source whose migrations tests/support/databases.py runs instead of those beside it."""

USING_THE_SCHEMA = ("tests/integration", "tests/end_to_end")
ABOUT_THE_SCHEMA_ITSELF = ("tests/integration/test_migrations.py",)


def run_tests_of(release: str, root: Path, tests: tuple[str, ...], python: Path | None = None) -> bool:
    """Run the release's tests with the schema of ``root``; return whether they passed.

    They run in a new environment with the release's locked dependencies, or with ``python`` if given.
    """
    with tempfile.TemporaryDirectory(prefix="signpost-release-") as name:
        folder = Path(name)
        unpack(release, root, folder)
        if python is None:
            setup = ["make", "setup", f"PYTHON={sys.executable}"]
            subprocess.run(setup, cwd=folder, check=True)  # noqa: S603 - our own
            python = folder / ".venv" / "bin" / "python"
        chosen = tests or tuple(place for place in USING_THE_SCHEMA if (folder / place).exists())
        skipped = [f"--ignore={place}" for place in ABOUT_THE_SCHEMA_ITSELF]
        # Stop at the first failure: later tests might wait for an effect that a broken statement never has.
        command = [str(python), "-m", "pytest", "-q", "--exitfirst", "-p", "no:cacheprovider", *skipped, *chosen]
        environment = os.environ | {SCHEMA_FROM: str(root), "PYTHONPATH": str(folder)}
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode == 0  # noqa: S603 - our own


def unpack(release: str, root: Path, folder: Path) -> None:
    """Write the release's files to the folder, without git's."""
    archive = folder / ".release.tar"
    git(root, "archive", f"--output={archive}", release)
    subprocess.run(["tar", "--extract", f"--file={archive}"], cwd=folder, check=True)  # noqa: S603, S607 - our own
    archive.unlink()
