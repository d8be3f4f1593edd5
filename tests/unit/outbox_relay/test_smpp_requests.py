"""The octets of SMPP requests, as in SMPP 3.4 §4.1.1 and §4.4.1."""

from outbox_relay.channels.smpp.connection import Command, bind, status_name, submit_sm
from tests.support.smpp_sessions import an_sms


def test_a_bind_has_the_credentials_and_the_version() -> None:
    header = bytes.fromhex("0000001b 00000002 00000000 00000007")
    assert bind(Command.BIND_TRANSMITTER, 7, "us", "pw") == header + b"us\0pw\0\0\x34\0\0\0"


def test_a_short_text_is_in_short_message() -> None:
    pdu = submit_sm(7, "Sign", an_sms("hi", "+336"))
    header = bytes.fromhex("0000002a 00000004 00000000 00000007")
    assert pdu == header + b"\0" + b"\x05\0Sign\0" + b"\x01\x01336\0" + bytes(9) + b"\x02hi"


def test_a_long_text_is_in_message_payload_and_one_outside_gsm_7_is_ucs_2() -> None:
    text = "中" * 71
    pdu = submit_sm(7, "12345", an_sms(text, "+336"))
    start = b"\0" + b"\0\x0112345\0" + b"\x01\x01336\0" + bytes(7) + b"\x08\0\0" + b"\x04\x24\0\x8e"
    assert pdu[16:] == start + text.encode("utf-16-be")


def test_a_status_is_shown_by_its_name_and_its_number() -> None:
    assert status_name(0x58) == "ESME_RTHROTTLED (0x00000058)"
    assert status_name(0x400) == "SMSC error (0x00000400)"
