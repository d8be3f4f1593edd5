from email import message_from_bytes, policy

import pytest

from bench.mails import NAME, mail_in
from shared.vocabulary import Locale


@pytest.mark.parametrize("locale", Locale)
def test_peers_are_given_the_words_of_our_own_mail_with_places_for_what_differs(locale: Locale) -> None:
    mail = mail_in(locale)
    parsed = message_from_bytes(mail.content, policy=policy.default)
    assert parsed["Subject"] == mail.words["subject"]
    for kind in ("text", "html"):
        assert "{name}" in mail.words[kind]
        assert "{code}" in mail.words[kind]
        assert NAME not in mail.words[kind]


@pytest.mark.parametrize("locale", Locale)
def test_the_mail_has_two_kilobytes_and_is_shorter_than_the_one_that_ships(locale: Locale) -> None:
    assert round(len(mail_in(locale).content) / 1024) == 2
    assert len(mail_in(locale).content) < len(mail_in(locale, theme=None).content)
