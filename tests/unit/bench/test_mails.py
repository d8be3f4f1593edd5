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
