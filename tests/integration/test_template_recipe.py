"""The recipe for a template in CONTRIBUTING.md: one folder, and the use case that enqueues the message."""

import re
import shutil
import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path

from tests.support.commands import ROOT
from tests.support.outbox import Outbox
from tests.support.relays import relay_environment, relay_once

ADD_USER = """
insert into users (status, email, email_canonical, email_verified_at, password_hash, full_name, locale, id)
values ('active', 'ada@example.org', 'ada@example.org', now(), 'none', 'Ada', %s, gen_random_uuid())
"""
SIGN_IN = """
import sys
from sqlalchemy import select
from sqlalchemy.orm import Session
from api_service.use_cases.report_sign_in import report_sign_in
from shared.db.engine import create_database_engine
from shared.models import User

engine = create_database_engine(sys.argv[1], application_name="test", pool_size=1)
with Session(engine) as session, session.begin():
    for user in session.scalars(select(User)):
        report_sign_in(session, user, "Safari <on> iPhone")
"""


def follow_recipe(source: Path) -> None:
    """Copy the packages that the recipe changes, and write each code block to the file that is named before it."""
    for package in ("shared", "api_service"):
        shutil.copytree(ROOT / package, source / package)
    recipe = (ROOT / "CONTRIBUTING.md").read_text().partition("### a template\n")[2].partition("\n### ")[0]
    for prose, block in re.findall(r"(.*?)```\w+\n(.*?)```", recipe, re.DOTALL):
        name = re.findall(r"`((?:new_sign_in/)?\w+\.\w+)`", prose)[-1]
        file = source / ("api_service/use_cases" if name.endswith(".py") else "shared/templates") / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(block)


def test_the_recipe_for_a_template_works(outbox: Outbox, tmp_path: Path) -> None:
    source, mails = tmp_path / "source", tmp_path / "mails"
    follow_recipe(source)
    for locale in ("en", "fr"):
        outbox.execute(ADD_USER.replace("ada@", f"{locale}@"), locale)
    environment = relay_environment(outbox.database, PYTHONPATH=str(source), EMAIL_PROVIDERS=f"file://{mails}")
    command = [sys.executable, "-c", SIGN_IN, outbox.database.api_url]
    subprocess.run(command, env=environment, cwd=source, check=True, timeout=60)
    assert outbox.execute("select distinct template, priority from outbox_messages") == [("new_sign_in", "low")]
    assert relay_once(outbox.database, PYTHONPATH=str(source), EMAIL_PROVIDERS=f"file://{mails}") == 0
    parsed = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in mails.iterdir()]
    english, french = sorted(parsed, key=lambda mail: mail["To"])
    assert english["Subject"] == "New sign-in to your Signpost account"
    assert french["Subject"] == "Nouvelle connexion à votre compte Signpost"
    words = [part.get_content() for part in english.iter_parts()]
    assert "A new device signed in to your account: Safari <on> iPhone." in " ".join(words[0].split())
    assert "Safari &lt;on&gt; iPhone" in words[1]
