"""`make test-upgrade`: the previous release's tests show whether it still works after a migration.

The release is artificial: the committed source, tagged in a copy of its history.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from migrations.revisions import REVISIONS
from tests.support.commands import ROOT

OF_THE_RELEASE = (
    "tests/integration/api_service/test_registering.py::test_a_registration_is_a_user_a_token_and_a_message"
)
MIGRATION = """
from alembic import op

revision = "9000"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("{change}")


def downgrade() -> None:
    pass
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a copy of this source, with its history."""
    copy = tmp_path / "source"
    done = subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, copy], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this is no git checkout: there is no history to copy")
    return copy


def upgrade(source: Path) -> "subprocess.CompletedProcess[str]":
    options = [f"--source={source}", f"--python={sys.executable}", OF_THE_RELEASE]
    command = [sys.executable, "-m", "releasing", "upgrade", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def released(source: Path, change: str) -> Path:
    """Tag the source as a release, then add a migration to it."""
    subprocess.run(["git", "-C", source, "tag", "v0.0.1"], check=True)
    path = source / "migrations" / "versions" / "9000_change.py"
    path.write_text(MIGRATION.format(head=REVISIONS[-1], change=change))
    return source


def test_without_an_earlier_release_it_reports_so(source: Path) -> None:
    for tag in subprocess.run(["git", "-C", source, "tag"], capture_output=True, text=True, check=True).stdout.split():
        subprocess.run(["git", "-C", source, "tag", "--delete", tag], check=True)
    done = upgrade(source)
    assert (done.returncode, done.stdout) == (0, "upgrade: skipped: there is no earlier release to upgrade from\n")


def test_the_release_works_with_an_extended_schema(source: Path) -> None:
    done = upgrade(released(source, "alter table users add column nickname text"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the tests of v0.0.1" in done.stdout
    assert " passed" in done.stdout


def test_a_schema_without_a_column_that_the_release_writes_fails(source: Path) -> None:
    done = upgrade(released(source, "alter table users rename column full_name to name"))
    assert done.returncode == 1
    assert "UndefinedColumn" in done.stdout
    assert "v0.0.1 fails on this schema" in done.stderr
