from email.headerregistry import Address

import pytest

from outbox_relay.rendering.branding import Sender, parse_reply_to, parse_sender


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("Signpost <no-reply@signpost.example>", Sender("Signpost", "no-reply@signpost.example")),
        ('  "Acme, Inc."  <Post@ACME.example> ', Sender("Acme, Inc.", "Post@acme.example")),
        ("Zoë & Cie <zoe@bücher.example>", Sender("Zoë & Cie", "zoe@xn--bcher-kva.example")),
    ],
)
def test_a_sender_is_a_name_and_an_address(text: str, sender: Sender) -> None:
    assert parse_sender(text) == sender


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no-reply@signpost.example",
        "<no-reply@signpost.example>",
        '"" <no-reply@signpost.example>',
        "Signpost",
        "Signpost <>",
        "Signpost <zoë@signpost.example>",
        "Signpost <nobody>",
        "Sign\nBcc: x <no-reply@signpost.example>",
        "Signpost <no-reply@signpost.example> <b@signpost.example>",
    ],
)
def test_an_invalid_sender_has_an_error_that_follows_the_settings_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is not|does not) "):
        parse_sender(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("help@signpost.example", Address("", "help", "signpost.example")),
        ("Signpost, Aide <aide@bücher.example>", Address("Signpost, Aide", "aide", "xn--bcher-kva.example")),
    ],
)
def test_reply_to_may_have_a_name(text: str, address: Address) -> None:
    assert parse_reply_to(text) == address


@pytest.mark.parametrize(
    "text", ["", "nobody", "a@b.org, c@d.org", "A <a@b.org>\r\nBcc: c@d.org", "zoë@b.org", "<a@b.org>"]
)
def test_an_invalid_reply_to_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is neither|is not|does not) "):
        parse_reply_to(text)
