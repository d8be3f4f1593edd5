import re
import subprocess
import sys
from email import message_from_bytes, policy
from typing import Any

import pytest

from outbox_relay.model import ClaimedMessage, RenderedMessage
from outbox_relay.rendering.branding import Brand, Branding, Sender
from outbox_relay.rendering.catalog import BrokenTemplateError, TemplateCatalog
from outbox_relay.rendering.renderer import Renderer
from outbox_relay.rendering.values import RenderingError
from shared.secrets import SecretKeys, UnknownKeyError, code_for, link_token_for
from shared.templates import TEMPLATES, Template
from shared.vocabulary import Channel, Locale
from tests.support.claimed import A_DIGEST, A_TOKEN, EVENTS, a_claimed_message
from tests.support.rendering import KEY, usual_renderer

every_template = pytest.mark.parametrize("template", TEMPLATES)
every_channel = pytest.mark.parametrize("channel", Channel)
every_locale = pytest.mark.parametrize("locale", Locale)


@every_template
@every_channel
@every_locale
@pytest.mark.parametrize("name", ["Ada", None])
def test_each_template_has_texts_for_each_channel_and_locale(
    template: Template, channel: Channel, locale: Locale, name: str | None
) -> None:
    message = a_claimed_message(
        template=template,
        channel=channel,
        locale=locale,
        payload={"name": name, "key_id": "k1", "events": EVENTS, **A_DIGEST},
    )
    words = words_of(message)
    assert "Signpost" in words
    assert not re.search(r"fill_|%\(|\{\{|None", words)


RENDER_ALL = """
import sys
from itertools import product
from outbox_relay.rendering.branding import Sender
from outbox_relay.rendering.renderer import Renderer
from outbox_relay.rendering.preview import SAMPLE_KEYS, sample_message
from shared.templates import TEMPLATES, Template
from shared.vocabulary import Channel, Locale

renderer = Renderer(SAMPLE_KEYS, "https://signpost.example", Sender("Signpost", "no-reply@signpost.example"))
sys.addaudithook(lambda event, details: event == "open" and print(details[0]))
for template, channel, locale in product(TEMPLATES, Channel, Locale):
    renderer.render(sample_message(template, channel, locale))
"""


def test_all_files_are_read_before_the_first_message() -> None:
    done = subprocess.run([sys.executable, "-c", RENDER_ALL], capture_output=True, text=True, check=True)
    assert done.stdout == ""


@every_locale
def test_an_activation_has_code_and_link_by_mail_and_only_the_code_by_sms(locale: Locale) -> None:
    mail = words_of(a_claimed_message(locale=locale))
    sms = words_of(a_claimed_message(locale=locale, channel=Channel.SMS, recipient="+33612345678"))
    assert code_for(A_TOKEN, KEY) in mail
    assert f"https://signpost.example/activate?token={link_token_for(A_TOKEN, KEY)}" in mail
    assert code_for(A_TOKEN, KEY) in sms
    assert "http" not in sms


@every_channel
@every_locale
def test_a_notice_to_an_existing_account_has_no_code_link_or_submitted_name(channel: Channel, locale: Locale) -> None:
    words = words_of(a_claimed_message(template=Template("account_exists"), channel=channel, locale=locale))
    assert code_for(A_TOKEN, KEY) not in words
    assert "://" not in words
    assert "Ada" not in words


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": {"name": "Ada"}},
        {"payload": {"name": ["secret-name"], "key_id": "k1"}},
        {"payload": {"name": "Ada", "key_id": 7}},
        {"token_id": None},
        {"expires_at": None},
        {"recipient": "secret-recipient"},
        {"template": "secret-template"},
    ],
)
def test_a_rendering_error_does_not_quote_the_message(changes: dict[str, Any]) -> None:
    with pytest.raises(RenderingError) as refusal:
        usual_renderer().render(a_claimed_message(**changes))
    assert "secret-" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_missing_key_is_not_the_messages_fault() -> None:
    with pytest.raises(UnknownKeyError):
        usual_renderer().render(a_claimed_message(payload={"name": "Ada", "key_id": "of tomorrow"}))


def test_a_message_is_rendered_with_its_key_after_rotation() -> None:
    rotated = SecretKeys({"k2": b"n" * 32, "k1": KEY})
    renderer = Renderer(rotated, "https://signpost.example", Sender("Signpost", "no-reply@signpost.example"))
    assert renderer.render(a_claimed_message()) == usual_renderer().render(a_claimed_message())


def test_a_template_with_an_undefined_value_is_an_error() -> None:
    with pytest.raises(BrokenTemplateError, match=r"templates/activation/body\.txt, line \d+: 'link' is undefined"):
        TemplateCatalog(Locale.EN, Branding(Brand("Signpost"))).render(
            Template("activation"), "body.txt", {"name": None, "code": "123456"}
        )


def test_no_representation_shows_the_code() -> None:
    message = a_claimed_message()
    rendered = RenderedMessage(message, usual_renderer().render(message), taken_monotonic=0.0)
    shown = repr((usual_renderer(), message, rendered))
    assert code_for(A_TOKEN, KEY) not in shown
    assert link_token_for(A_TOKEN, KEY) not in shown


def words_of(message: ClaimedMessage) -> str:
    content = usual_renderer().render(message)
    match message.channel:
        case Channel.SMS:
            return content.decode()
        case Channel.EMAIL:
            mail = message_from_bytes(content, policy=policy.default)
            return "\n".join([mail["Subject"], *(part.get_content() for part in mail.iter_parts())])
