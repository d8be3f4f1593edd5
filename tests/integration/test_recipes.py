"""The recipes of CONTRIBUTING.md for a template and for a column, followed in a copy of the source."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from textwrap import dedent

import pytest

from migrations.revisions import REVISIONS
from tests.support.commands import ROOT
from tests.support.outbox import Outbox
from tests.support.relays import relay_environment, relay_once

pytestmark = pytest.mark.slow

ADD_USER = """
insert into users (status, email, email_canonical, email_verified_at, password_hash, full_name, locale, id)
values ('active', 'ada@example.org', 'ada@example.org', now(), 'none', 'Ada', %s, gen_random_uuid())
"""
EXPORT = """
import sys
from sqlalchemy import select
from sqlalchemy.orm import Session
from api_service.use_cases.report_export import report_export
from shared.db.engine import create_database_engine
from shared.models import User

engine = create_database_engine(sys.argv[1], application_name="test", pool_size=1)
with Session(engine) as session, session.begin():
    for user in session.scalars(select(User)):
        report_export(session, user, "Safari <on> iPhone")
"""
FOLLOWING = f"{int(REVISIONS[-1]) + 1:04}"
PACKAGES = ("api_service", "bench", "devstack", "migrations", "operator_console", "outbox_relay", "shared", "tenants")
FILES_OF_A_COLUMN = {
    "0002_nickname.py": f"migrations/versions/{FOLLOWING}_nickname.py",
    "test_nickname.py": "tests/integration/api_service/test_nickname.py",
}
TESTS_OF_A_COLUMN = (
    FILES_OF_A_COLUMN["test_nickname.py"],
    "tests/integration/test_migrations.py::test_models_and_migrations_agree",
    "tests/project/test_tables_docs.py::test_every_column_is_documented_in_its_order",
    "tests/contract/test_openapi.py::test_the_committed_document_is_current",
)


def copy_source(source: Path, *names: str) -> None:
    for name in names:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))


def code_blocks(recipe: str) -> Iterator[tuple[str, str, str]]:
    """Yield each code block of the recipe: the file that is named last before it, its language, and its code."""
    text = (ROOT / "CONTRIBUTING.md").read_text().partition(f"### {recipe}\n")[2].partition("\n### ")[0]
    name = ""
    for prose, language, block in re.findall(r"(.*?)^ *```(\w+)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
        name = [name, *re.findall(r"`([\w/]+\.\w+)`", prose)][-1]
        yield name, language, dedent(block)


def apply_diff(diff: str, file: Path) -> None:
    """Add the lines that start with a plus after the other lines, which must be in the file once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    text = file.read_text()
    assert text.count(before) == 1, f"{file}: {before}"
    file.write_text(text.replace(before, "".join(line[1:] for line in lines)))


def test_the_recipe_for_a_template_works(outbox: Outbox, tmp_path: Path) -> None:
    source, mails = tmp_path / "source", tmp_path / "mails"
    copy_source(source, "shared", "api_service")
    for name, _language, code in code_blocks("a template"):
        file = source / ("api_service/use_cases" if name.endswith(".py") else "shared/templates") / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
    for locale in ("en", "fr"):
        outbox.execute(ADD_USER.replace("ada@", f"{locale}@"), locale)
    environment = relay_environment(outbox.database, PYTHONPATH=str(source), EMAIL_PROVIDERS=f"file://{mails}")
    command = [sys.executable, "-c", EXPORT, outbox.database.api_url]
    subprocess.run(command, env=environment, cwd=source, check=True, timeout=60)
    assert outbox.execute("select distinct template, priority from outbox_messages") == [("data_exported", "low")]
    assert relay_once(outbox.database, PYTHONPATH=str(source), EMAIL_PROVIDERS=f"file://{mails}") == 0
    parsed = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in mails.iterdir()]
    english, french = sorted(parsed, key=lambda mail: mail["To"])
    assert english["Subject"] == "The data of your Signpost account was exported"
    assert french["Subject"] == "Les données de votre compte Signpost ont été exportées"
    words = [part.get_content() for part in english.iter_parts()]
    assert "A device exported the data of your account: Safari <on> iPhone." in " ".join(words[0].split())
    assert "Safari &lt;on&gt; iPhone" in words[1]


def test_the_recipe_for_a_column_that_registration_fills_works(tmp_path: Path) -> None:
    copy_source(tmp_path, *PACKAGES, "tests", "docs/reference")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, language, code in code_blocks("a column that registration fills"):
        file = tmp_path / FILES_OF_A_COLUMN.get(name, name)
        if language == "diff":
            apply_diff(code, file)
        else:
            # The later number first: the other may become "0002".
            file.write_text(code.replace('"0002"', f'"{FOLLOWING}"').replace('"0001"', f'"{REVISIONS[-1]}"'))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS_OF_A_COLUMN]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"RENEW_DOCS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
