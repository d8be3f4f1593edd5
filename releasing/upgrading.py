"""The previous release's own tests on this release's schema: what proves that the two may run side by side.

Between `migrate` and the last restart the old code works on the new schema, and after going back it does so again. The
old release's tests are the best account of what it needs, so they are run as they were, but for who migrates.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from releasing.project import git

SCHEMA_FROM = "SIGNPOST_TEST_SCHEMA_FROM"
"""Names the source whose migrations tests/support/databases.py runs, in place of those beside it."""

USING_THE_SCHEMA = ("tests/integration", "tests/end_to_end")
ABOUT_THE_SCHEMA_ITSELF = ("tests/integration/test_migrations.py",)


def run_tests_of(release: str, root: Path, tests: tuple[str, ...], python: Path | None = None) -> bool:
    """Run the release's tests with the schema of ``root``; tell whether they passed.

    They run in an environment of the release's own, made from its lock, or under ``python`` where that is given.
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
        # One that fails is an answer; the next might wait for what a broken statement never does.
        command = [str(python), "-m", "pytest", "-q", "--exitfirst", "-p", "no:cacheprovider", *skipped, *chosen]
        environment = os.environ | {SCHEMA_FROM: str(root), "PYTHONPATH": str(folder)}
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode == 0  # noqa: S603 - our own


def unpack(release: str, root: Path, folder: Path) -> None:
    """Write the release's files there, and nothing of git's."""
    archive = folder / ".release.tar"
    git(root, "archive", f"--output={archive}", release)
    subprocess.run(["tar", "--extract", f"--file={archive}"], cwd=folder, check=True)  # noqa: S603, S607 - our own
    archive.unlink()
