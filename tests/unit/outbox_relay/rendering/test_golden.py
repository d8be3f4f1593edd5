"""The rendered texts, stored with the tests so that a review shows each change of words.

To renew them: RENEW_GOLDEN=1 pytest tests/unit/outbox_relay/rendering/test_golden.py
"""

import os
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from shared.templates import TEMPLATES, Template
from shared.vocabulary import Channel, Locale
from tests.support.claimed import a_claimed_message
from tests.support.rendering import usual_renderer

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("locale", Locale)
def test_an_email_matches_its_stored_text(template: Template, locale: Locale) -> None:
    content = usual_renderer().render(a_claimed_message(template=template, locale=locale))
    mail = message_from_bytes(content, policy=policy.default)
    text, html = (part.get_content().replace("\r\n", "\n") for part in mail.iter_parts())
    assert f"{mail['Subject']}\n\n{text}" == agreed(f"{template}.{locale}.txt", f"{mail['Subject']}\n\n{text}")
    assert html == agreed(f"{template}.{locale}.html", html)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("locale", Locale)
def test_an_sms_matches_its_stored_text(template: Template, locale: Locale) -> None:
    content = usual_renderer().render(a_claimed_message(template=template, locale=locale, channel=Channel.SMS)).decode()
    assert f"{content}\n" == agreed(f"{template}.{locale}.sms.txt", f"{content}\n")


def agreed(name: str, now: str) -> str:
    if os.environ.get("RENEW_GOLDEN"):
        (GOLDEN / name).write_text(now, encoding="utf-8")
    return (GOLDEN / name).read_text(encoding="utf-8")
