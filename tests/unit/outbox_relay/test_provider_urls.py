from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from outbox_relay.channels.base import Credentials, Provider
from outbox_relay.channels.http.generic_json import GenericJsonApi
from outbox_relay.channels.http.resend import ResendApi
from outbox_relay.channels.http.session import HttpProvider
from outbox_relay.channels.smpp.session import SmppProvider
from outbox_relay.channels.smtp.login import password_login
from outbox_relay.channels.smtp.session import SmtpProvider, Tls
from outbox_relay.channels.urls import DeliveryContext, ProviderUrl, check_provider_url, providers_from
from outbox_relay.model import Caps, Rate
from shared.vocabulary import Channel
from tests.support.rendered_messages import a_message

CONTEXT = DeliveryContext(sender="no-reply@signpost.example", timeout=timedelta(seconds=20))
SECRET = "hunter2"


def made_from(urls: str, channel: Channel) -> list[Provider]:
    return [capped.provider for capped in providers_from(urls, channel, CONTEXT)]


def mail_server(url: str) -> SmtpProvider:
    [provider] = made_from(url, Channel.EMAIL)
    assert isinstance(provider, SmtpProvider)
    return provider


@pytest.mark.parametrize(
    ("channel", "url", "name"),
    [
        (Channel.EMAIL, "smtp://relay:pw@Mail.example.org", "smtp:mail.example.org:587"),
        (Channel.EMAIL, "smtp://mail.example.org:2525?tls=none", "smtp:mail.example.org:2525"),
        (Channel.EMAIL, "smtp://relay:pw@[::1]:25?tls=none", "smtp:[::1]:25"),
        (Channel.EMAIL, "smtps://relay:pw@mail.example.org", "smtps:mail.example.org:465"),
        (Channel.EMAIL, "https+mime://token@mail.example.org/in", "https+mime:mail.example.org"),
        (Channel.EMAIL, "http+mime://127.0.0.1:8025/in", "http+mime:127.0.0.1:8025"),
        (Channel.EMAIL, "sendgrid://SG.a.b@api.sendgrid.com", "sendgrid:api.sendgrid.com"),
        (Channel.EMAIL, "resend://re_1@api.resend.com?endpoint=http://127.0.0.1:8025", "resend:127.0.0.1:8025"),
        (Channel.EMAIL, "mailgun://key@api.eu.mailgun.net/mg.example.org", "mailgun:api.eu.mailgun.net"),
        (Channel.EMAIL, "ses://AKIA:s%2Fc@email.eu-west-1.amazonaws.com", "ses:email.eu-west-1.amazonaws.com"),
        (Channel.EMAIL, "postmark://token@api.postmarkapp.com?stream=codes", "postmark:api.postmarkapp.com"),
        (Channel.EMAIL, "brevo://xkeysib-1@api.brevo.com", "brevo:api.brevo.com"),
        (Channel.EMAIL, "console:", "console"),
        (Channel.EMAIL, "file:///var/mail%20out", "file:/var/mail out"),
        (Channel.SMS, "https+json://token@sms.example.org/v1/send", "https+json:sms.example.org"),
        (Channel.SMS, "http+json://token@127.0.0.1:8025/sms", "http+json:127.0.0.1:8025"),
        (Channel.SMS, "twilio://AC1:pw@api.twilio.com?from=+15005550006", "twilio:api.twilio.com"),
        (Channel.SMS, "kannel://us:pw@sms.example.org?from=Signpost", "kannel:sms.example.org:13013"),
        (Channel.SMS, "kannel://us:pw@[::1]:13014/sendsms?tls=none", "kannel:[::1]:13014"),
        (Channel.SMS, "smpp://us:pw@smsc.example.org?from=Signpost", "smpp:smsc.example.org:3550"),
        (Channel.SMS, "smpp://us:pw@[::1]?from=32665&tls=none", "smpp:[::1]:2775"),
        (Channel.SMS, "console:", "console"),
        (Channel.SMS, "file:///tmp/sms", "file:/tmp/sms"),
    ],
)
def test_a_provider_is_named_without_its_credentials(channel: Channel, url: str, name: str) -> None:
    [provider] = made_from(url, channel)
    assert provider.name == name


@pytest.mark.parametrize(
    ("channel", "one", "other"),
    [
        (Channel.EMAIL, "smtp://ann:pw@mail.example.org", "smtp://ben:pw@mail.example.org"),
        (Channel.EMAIL, f"sendgrid://{SECRET}@api.sendgrid.com", "sendgrid://SG.a.b@api.sendgrid.com"),
        (Channel.EMAIL, "mailgun://key@api.mailgun.net/a.example", "mailgun://key@api.mailgun.net/b.example"),
        (Channel.EMAIL, "ses://AKIA1:a@email.eu-west-1.amazonaws.com", "ses://AKIA2:a@email.eu-west-1.amazonaws.com"),
        (Channel.EMAIL, f"https+mime://{SECRET}@mail.example.org", "https+mime://b@mail.example.org"),
        (Channel.SMS, f"https+json://{SECRET}@sms.example.org", "https+json://b@sms.example.org"),
        (Channel.SMS, "twilio://AC1:pw@api.twilio.com?from=1", "twilio://AC2:pw@api.twilio.com?from=1"),
        (Channel.SMS, "kannel://us:pw@sms.example.org?from=1", "kannel://us:pw@sms.example.org?from=2"),
        (Channel.SMS, "smpp://us:pw@smsc.example.org?from=1", "smpp://me:pw@smsc.example.org?from=1"),
    ],
)
def test_accounts_at_one_host_have_names_of_their_own(channel: Channel, one: str, other: str) -> None:
    [alone] = made_from(one, channel)
    names = [provider.name for provider in made_from(f"{one},{other}", channel)]
    assert [name.partition("#")[0] for name in names] == [alone.name] * 2
    assert len(set(names)) == 2
    assert [provider.name for provider in made_from(f"{other},{one}", channel)] == names[::-1]
    assert SECRET not in "".join(names)


def test_a_new_password_or_limit_does_not_rename_an_account() -> None:
    other = "smtp://ben:pw@mail.example.org"
    before, after = (
        made_from(f"{url},{other}", Channel.EMAIL)[0].name
        for url in ("smtp://ann:old@mail.example.org", "smtp://ann:new@mail.example.org?rate=14/s")
    )
    assert before == after


def test_providers_are_tried_in_the_configured_order() -> None:
    providers = made_from("smtps://a.example, smtp://b.example:25 ,console:", Channel.EMAIL)
    assert [provider.name for provider in providers] == ["smtps:a.example:465", "smtp:b.example:25", "console"]


def test_user_and_password_are_percent_decoded() -> None:
    server = mail_server("smtp://us%40example.org:p%2Cw%23%2F%3F@mail.example.org").server
    assert server.login == password_login(Credentials("us@example.org", "p,w#/?"))


def test_mail_is_encrypted_by_default() -> None:
    assert mail_server("smtp://mail.example.org").server.tls is Tls.STARTTLS
    assert mail_server("smtp://mail.example.org?tls=none").server.tls is Tls.NONE
    assert mail_server("smtps://mail.example.org").server.tls is Tls.IMPLICIT


def test_sender_and_timeout_reach_the_provider() -> None:
    provider = mail_server("smtp://mail.example.org")
    assert (provider.sender, provider.server.timeout) == ("no-reply@signpost.example", 20.0)


def test_a_gateways_token_is_no_part_of_its_url() -> None:
    [provider] = made_from("https+json://to%2Fken@sms.example.org:8443/v1", Channel.SMS)
    assert isinstance(provider, HttpProvider)
    assert isinstance(provider.api, GenericJsonApi)
    assert (provider.api.url, provider.api.token) == ("https://sms.example.org:8443/v1", "to/ken")
    assert "to/ken" not in repr(provider)


@pytest.mark.parametrize(
    ("channel", "url", "fault"),
    [
        (Channel.EMAIL, "", "has an empty entry"),
        (Channel.EMAIL, " ", "has an empty entry"),
        (
            Channel.EMAIL,
            "mail.example.org",
            "has a URL whose scheme is not one of brevo, console, file, http+json, http+mime, https+json, https+mime,",
        ),
        (Channel.EMAIL, "https+json://hunter2@a.example/", "a https+json URL, which cannot deliver email messages"),
        (Channel.SMS, "smtp://sid:hunter2@a.example", "a smtp URL, which cannot deliver sms messages"),
        (Channel.EMAIL, "smtp://", "has a smtp URL without a host"),
        (Channel.EMAIL, "smtp://u:hunter2@", "has a smtp URL without a host"),
        (Channel.EMAIL, "smtp://u:hunter2@a..example", "whose host is not a host name"),
        (Channel.EMAIL, "smtp://u:hunter2@ma il.example", "whose host is not a host name"),
        (Channel.EMAIL, "smtp://u:hunter2@256.1.1.1", "whose host is not a host name"),
        (Channel.SMS, "https+json://hunter2@256.1.1.1/sms", "whose host is not a host name"),
        (Channel.SMS, "https+json://hunter2@a.example/\x7f", "something in it that cannot be printed"),
        (Channel.EMAIL, "smtp://u:hunter2@a.example:many", "cannot be read"),
        (Channel.EMAIL, "smtp://u:hunter2/x@a.example", "cannot be read"),
        (Channel.EMAIL, "smtp://u:12/hunter2@a.example", "with a path"),
        (Channel.EMAIL, "smtp://u:1#hunter2@a.example", "with a '#'"),
        (Channel.EMAIL, "smtp://u:1?hunter2@a.example", "with an option other than auth and ca and client_id and"),
        (Channel.EMAIL, "smtp://u:hunter2@a\u2100.example", "cannot be read"),
        (Channel.EMAIL, "smtp://hunter2@a.example", "with only one of user and password"),
        (Channel.EMAIL, "smtp://:hunter2@a.example", "with only one of user and password"),
        (Channel.EMAIL, "smtp://a.example?tls=hunter2", "whose tls is neither starttls nor none"),
        (Channel.EMAIL, "smtps://a.example?tls=none", "with an option other than auth and ca and"),
        (Channel.EMAIL, "smtp://u:hunter2@a.example?tls=none", "would send credentials in clear over a network"),
        (Channel.EMAIL, "smtp://a.example?ca=/hunter2/none.pem", "whose ca is not a file of certificates"),
        (Channel.EMAIL, "console:hunter2", "more to it than console:"),
        (Channel.EMAIL, "file://hunter2/x", "that is not file:///directory"),
        (Channel.EMAIL, "file:hunter2", "that is not file:///directory"),
        (Channel.EMAIL, "smtp://a.example?rate=hunter2", "whose rate is not one such as 14/s"),
        (Channel.EMAIL, "smtps://a.example?rate=", "whose rate is not one such as 14/s"),
        (Channel.EMAIL, "smtp://a.example?connections=hunter2", "whose connections are not a number from 1 to 999"),
        (Channel.SMS, "https+json://t@a.example/?connections=0", "whose connections are not a number from 1 to 999"),
        (Channel.EMAIL, "console:?rate=1/s", "more to it than console:"),
        (Channel.SMS, "https+json://a.example/", "without a token, or with more than one"),
        (Channel.SMS, "https+json://u:hunter2@a.example/", "without a token, or with more than one"),
        (Channel.SMS, "https+json://hunter2%0A@a.example/", "with a token that cannot stand in a header"),
        (Channel.SMS, "twilio://a.example?from=1", "has a twilio URL without user and password"),
        (Channel.SMS, "twilio://sid:hunter2@a.example", "has a twilio URL with a path, or without a from"),
        (Channel.SMS, "twilio://sid:hunter2@a.example/x?from=1", "has a twilio URL with a path, or without a from"),
        (Channel.SMS, "twilio://sid:hunter2@a.example?from=1&tls=none", "in clear to another machine"),
        (Channel.SMS, "kannel://u:hunter2@a.example?tls=starttls", "whose tls is not none"),
        (Channel.SMS, "kannel://u:hunter2@a.example?to=1", "with an option other than ca and from and tls"),
        (Channel.SMS, "smpp://u:hunter2@a.example", "whose from is not 1 to 20 plain characters"),
        (Channel.SMS, "smpp://u:hunter2@a.example?from=Caf%C3%A9", "whose from is not 1 to 20 plain characters"),
        (Channel.SMS, "smpp://u:hunter2@a.example?from=1&receipts=no", "whose receipts are not one of yes, decimal"),
        (Channel.SMS, "twilio://u:hunter2@a.example?from=1&receipts=yes", "with an option other than"),
        (Channel.SMS, "smpp://u:hunter2hunter2@a.example?from=1", "with a user over 15 or a password over 8"),
        (Channel.SMS, "http+json://hunter2@a.example/", "to another machine: its token would go in clear"),
        (Channel.EMAIL, "http+mime://hunter2@a.example/", "to another machine: its codes would go in clear"),
        (Channel.EMAIL, "sendgrid://a.example", "without a key before its host or a key_file, or with both"),
        (Channel.EMAIL, "sendgrid://hunter2@a.example?key_file=/x", "or a key_file, or with both"),
        (Channel.EMAIL, "sendgrid://a.example?key_file=/hunter2", "whose key_file cannot be read"),
        (Channel.EMAIL, "sendgrid://hunter2%0A@a.example", "with a key that cannot stand in a header"),
        (Channel.EMAIL, "sendgrid://hunter2@a.example/v3", "has a sendgrid URL with a path"),
        (Channel.EMAIL, "postmark://hunter2@a.example/email", "has a postmark URL with a path"),
        (Channel.EMAIL, "brevo://hunter2@a.example/v3", "has a brevo URL with a path"),
        (Channel.EMAIL, "resend://hunter2@a.example?endpoint=http://b.example", "whose endpoint is in clear"),
        (Channel.EMAIL, "resend://a.example?endpoint=https://u:hunter2@b.example", "whose endpoint is not an http"),
        (Channel.EMAIL, "mailgun://hunter2@api.mailgun.net", "whose path is not the sending domain"),
        (Channel.EMAIL, "ses://hunter2@email.eu-west-1.amazonaws.com", "whose key is not id:secret"),
        (Channel.EMAIL, "ses://a:hunter2@ses.example", "host is not email.REGION.amazonaws.com, and without a region"),
    ],
)
def test_an_error_does_not_quote_the_url(channel: Channel, url: str, fault: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is checked below
        check_provider_url(url, channel)
    assert fault in str(caught.value)
    assert SECRET not in str(caught.value)


TOKENS = "token_url=https://login.example/token&client_id=signpost&client_secret_file={secret}"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return file


def test_a_login_with_tokens_has_a_user_and_no_password(secret: Path) -> None:
    url = f"smtp://no-reply%40a.example@a.example?auth=XOAuth2&scope=a+b&{TOKENS.format(secret=secret)}"
    login = mail_server(url).server.login
    assert login
    assert (login.user, list(login.mechanisms)) == ("no-reply@a.example", ["XOAUTH2"])
    check_provider_url(f"smtps://u@a.example?auth=oauthbearer&{TOKENS.format(secret=secret)}", Channel.EMAIL)


def test_a_relative_path_of_a_secret_is_beside_the_file_with_the_urls(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMAIL_PROVIDERS_FILE", str(secret.with_name("email-providers")))
    check_provider_url(f"smtp://u@a.example?auth=xoauth2&{TOKENS.format(secret=secret.name)}", Channel.EMAIL)


def test_a_mechanism_for_passwords_can_be_selected() -> None:
    login = mail_server("smtp://relay:pw@mail.example.org?auth=scram-sha-256").server.login
    assert login
    assert list(login.mechanisms) == ["SCRAM-SHA-256"]


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("smtp://u:hunter2@a.example?auth=xoauth2&{tokens}", "whose auth needs a user and no password"),
        ("smtp://a.example?auth=xoauth2&{tokens}", "whose auth needs a user and no password"),
        ("smtp://u@a.example?auth=xoauth2&client_id=c", "without a token_url that is an https URL"),
        ("smtp://u@a.example?auth=xoauth2&client_id=c&token_url=http://b.example/", "token_url is not https"),
        ("smtp://u@a.example?auth=xoauth2&token_url=https://b.example/", "without a client_id"),
        (
            "smtp://u@a.example?auth=xoauth2&token_url=https://b.example/&client_id=c",
            "with neither client_secret_file nor refresh_token_file",
        ),
        (
            "smtp://u@a.example?auth=xoauth2&{tokens}&refresh_token_file=/hunter2",
            "refresh_token_file is empty or cannot",
        ),
        ("smtp://u:hunter2@a.example?{tokens}", "without auth=xoauth2 or auth=oauthbearer"),
        (
            "smtp://u:hunter2@a.example?auth=gssapi",
            "whose auth is not one of plain, login, scram-sha-256, cram-md5, xo",
        ),
        ("smtp://a.example?auth=plain", "with auth, but without user and password"),
        ("smtp://u@a.example?tls=none&auth=xoauth2&{tokens}", "would send credentials in clear over a network"),
    ],
)
def test_a_login_that_cannot_work_is_reported(url: str, fault: str, secret: Path) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is checked below
        check_provider_url(url.replace("{tokens}", TOKENS.format(secret=secret)), Channel.EMAIL)
    assert fault in str(caught.value)
    assert SECRET not in str(caught.value)


def test_unencrypted_credentials_are_allowed_on_loopback() -> None:
    check_provider_url("smtp://u:pw@localhost:25?tls=none", Channel.EMAIL)
    check_provider_url("smtp://u:pw@127.0.0.2:25?tls=none", Channel.EMAIL)


@pytest.mark.parametrize(
    ("written", "sender"),
    [("+15005550006", "+15005550006"), ("%2B15005550006", "+15005550006"), ("My+Shop", "My Shop"), ("32665", "32665")],
)
def test_a_number_as_sender_keeps_its_plus(written: str, sender: str) -> None:
    [provider] = made_from(f"smpp://us:pw@smsc.example.org?from={written}", Channel.SMS)
    assert isinstance(provider, SmppProvider)
    assert provider.sender == sender


@pytest.mark.parametrize("is_relative", [True, False])
def test_a_key_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_relative: bool) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv("EMAIL_PROVIDERS_FILE", str(tmp_path / "urls"))
    [provider] = made_from(f"resend://api.resend.com?key_file={'key' if is_relative else file}", Channel.EMAIL)
    assert isinstance(provider, HttpProvider)
    assert isinstance(provider.api, ResendApi)
    assert provider.api.key == SECRET


@pytest.mark.parametrize(
    "url",
    [
        f"https+mime://{SECRET}@mail.example.org",
        f"brevo://{SECRET}@api.brevo.com",
        f"mailgun://{SECRET}@api.mailgun.net/mg.example.org",
        f"postmark://{SECRET}@api.postmarkapp.com",
        f"resend://{SECRET}@api.resend.com",
        f"sendgrid://{SECRET}@api.sendgrid.com",
        f"ses://AKIA:{SECRET}@email.eu-west-1.amazonaws.com",
    ],
)
def test_no_email_api_shows_its_key(url: str) -> None:
    [provider] = made_from(url, Channel.EMAIL)
    assert isinstance(provider, HttpProvider)
    assert SECRET not in repr(provider)
    assert SECRET not in repr(provider.api.request(a_message()))


@pytest.mark.parametrize("scheme", ["twilio", "kannel", "smpp"])
def test_no_gateway_shows_its_password(scheme: str) -> None:
    [provider] = made_from(f"{scheme}://us:{SECRET}@127.0.0.1?from=1&tls=none", Channel.SMS)
    assert SECRET not in repr(provider)


@pytest.mark.parametrize(
    ("channel", "url"),
    [
        (Channel.EMAIL, "smtp://mail.example.org:25?tls=none&rate=14/s&connections=8"),
        (Channel.EMAIL, "smtps://mail.example.org?connections=8&rate=14%2Fs"),
        (Channel.SMS, "https+json://token@sms.example.org/v1?rate=14/s&connections=8"),
    ],
)
def test_each_remote_provider_may_have_limits(channel: Channel, url: str) -> None:
    [capped] = providers_from(url, channel, CONTEXT)
    assert capped.caps == Caps(Rate(14, "s"), connections=8)


def test_limits_do_not_change_other_options() -> None:
    assert mail_server("smtp://mail.example.org?rate=14/s&tls=none").server.tls is Tls.NONE


def test_a_parsed_url_does_not_show_its_credentials() -> None:
    url = ProviderUrl(*urlsplit(f"kannel://us:{SECRET}@sms.example.org?from=1"))
    assert (url.host(), SECRET in repr(url), SECRET in str(url)) == ("sms.example.org", False, False)
