from email import message_from_bytes, policy

import pytest

from bench.sample_mail import NAME, rendered
from shared.vocabulary import Locale


@pytest.mark.parametrize("locale", Locale)
def test_peers_get_the_texts_of_signposts_mail_with_placeholders(locale: Locale) -> None:
    content, texts = rendered(locale)
    assert message_from_bytes(content, policy=policy.default)["Subject"] == texts["subject"]
    for kind in ("text", "html"):
        assert "{name}" in texts[kind]
        assert "{code}" in texts[kind]
        assert NAME not in texts[kind]


@pytest.mark.parametrize("locale", Locale)
def test_the_mail_has_two_kilobytes(locale: Locale) -> None:
    assert round(len(rendered(locale)[0]) / 1024) == 2
