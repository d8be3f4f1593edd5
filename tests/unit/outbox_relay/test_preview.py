"""The command `outbox-relay preview`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from outbox_relay.cli import main

FRENCH_SUBJECT = "Votre compte Signpost\N{NO-BREAK SPACE}: confirmez votre adresse"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["preview", *arguments], env=environment)


def test_preview_needs_no_settings_and_prints_subject_and_text() -> None:
    done = run("activation", "--locale", "fr")
    assert done.exit_code == 0
    assert done.output.startswith(f"{FRENCH_SUBJECT}\n\nBonjour Ada,\n")


def test_preview_writes_the_html_of_a_mail_to_a_file(tmp_path: Path) -> None:
    page = tmp_path / "welcome.html"
    assert run("welcome", "--html", "--output", str(page), "--name", "Zoë", BRAND_NAME="Acme").exit_code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert "Hello Zoë," in page.read_text()
    assert "Your Acme account" in page.read_text()


def test_preview_prints_an_sms_as_sent() -> None:
    done = run("password_reset", "--channel", "sms", SMS_ONE_TAP="on")
    assert done.output.startswith("Signpost: your code to reset your password is ")
    assert done.output.splitlines()[-1].startswith("@signpost.example #")


def test_preview_opens_the_page_in_a_browser(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\ncp "${{1#file://}}" {tmp_path}/shown.html\n')
    browser.chmod(0o755)
    done = run("activation", "--channel", "sms", "--open", BROWSER=f"{browser} %s", TMPDIR=str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "your code is" in (tmp_path / "shown.html").read_text()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"BRAND_COLOUR": "red"}, "BRAND_COLOUR='red' is not #rrggbb"),
        (
            {"BRAND_LOGO_URL": "http://acme.example/a.png"},
            "BRAND_LOGO_URL='http://acme.example/a.png' is not an https URL",
        ),
        ({"SUPPORT_ADDRESS": "help"}, "SUPPORT_ADDRESS='help' is not an e-mail address"),
        ({"BRAND_FOOTER": "a\nb"}, "BRAND_FOOTER='a\\nb' is not one line of at most 300 characters"),
        ({"THEME_FOLDER": "/nowhere"}, "THEME_FOLDER='/nowhere' is not a folder"),
    ],
)
def test_preview_reports_an_invalid_setting_with_status_2(environment: dict[str, str], expected: str) -> None:
    done = run("activation", **environment)
    assert (done.exit_code, done.stderr) == (2, f"settings: {expected}\n")


def test_preview_lists_sentences_of_a_theme_without_a_translation(tmp_path: Path) -> None:
    (tmp_path / "activation").mkdir()
    (tmp_path / "activation" / "subject.txt").write_text('{{ _("Welcome to the club") }}')
    done = run("activation", "--locale", "fr", THEME_FOLDER=str(tmp_path))
    assert (done.exit_code, done.stderr) == (0, "not translated (fr): Welcome to the club\n")
    (tmp_path / "fr.po").write_text('msgid "Welcome to the club"\nmsgstr "Bienvenue au club"\n')
    done = run("activation", "--locale", "fr", THEME_FOLDER=str(tmp_path))
    assert (done.stdout.splitlines()[0], done.stderr) == ("Bienvenue au club", "")


def test_preview_reports_a_broken_theme_with_its_file_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "layout.mjml").write_text("{% block %}")
    done = run("activation", THEME_FOLDER=str(tmp_path))
    assert done.exit_code == 2
    assert done.stderr.startswith(f"settings: template {tmp_path}/layout.mjml, line 1: ")
