import pytest

from outbox_relay.rendering import Sender, parse_sender


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
        "Signpost <nobody>",
        "Sign\nBcc: x <no-reply@signpost.example>",
        "Signpost <no-reply@signpost.example> <b@signpost.example>",
    ],
)
def test_anything_else_is_refused_in_words_that_follow_the_settings_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is not|does not) "):
        parse_sender(text)
