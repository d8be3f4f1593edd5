import stat
from datetime import timedelta
from pathlib import Path

import pytest

from outbox_relay.channels.base import Provider, ProviderDownError
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.model import Sent
from shared.vocabulary import Channel
from tests.support.rendered_messages import ListSource, a_message

pytestmark = pytest.mark.anyio

MAIL = b"Subject: =?utf-8?q?Voil=C3=A0?=\r\nContent-Type: text/plain\r\n\r\nYour code is 123456.\x1b[2J\r\n"


def provider(url: str, channel: Channel) -> Provider:
    [capped] = providers_from(url, channel, DeliveryContext("", timedelta(seconds=1)))
    return capped.provider


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(("channel", "suffix"), [(Channel.EMAIL, ".eml"), (Channel.SMS, ".txt")])
async def test_each_message_is_a_separate_file_that_only_its_owner_can_read(
    tmp_path: Path, channel: Channel, suffix: str
) -> None:
    messages = [
        a_message(content=b"one\r\n", channel=channel),
        a_message(content=b"two\r\n", channel=channel),
    ]
    source = ListSource(messages)
    folder = tmp_path / "not" / "there yet"
    await provider(f"file://{folder}".replace(" ", "%20"), channel).session().deliver(source)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"{rendered.message.id}{suffix}": rendered.content for rendered in messages
    }
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    assert source.result(messages[0]) == Sent(f"file:{folder}", f"{messages[0].message.id}{suffix}")


async def test_a_directory_that_cannot_be_created_is_a_provider_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = ListSource([a_message()])
    with pytest.raises(ProviderDownError):
        await provider(f"file://{tmp_path}/file/folder", Channel.EMAIL).session().deliver(source)
    assert len(source.waiting) == 1


async def test_a_file_that_cannot_be_written_is_a_provider_failure(tmp_path: Path) -> None:
    rendered = a_message()
    source = ListSource([rendered])
    (tmp_path / f"{rendered.message.id}.eml").mkdir()
    with pytest.raises(ProviderDownError):
        await provider(f"file://{tmp_path}", Channel.EMAIL).session().deliver(source)
    assert not source.failure(rendered).maybe_accepted
    assert names_in(tmp_path) == [f"{rendered.message.id}.eml"]


async def test_the_console_prints_a_mail_without_terminal_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rendered = a_message(content=MAIL)
    source = ListSource([rendered])
    await provider("console:", Channel.EMAIL).session().deliver(source)
    shown = capsys.readouterr().out
    assert "Subject: Voilà" in shown
    assert "email to ada@example.org" in shown
    assert "Your code is 123456." in shown
    assert "\x1b" not in shown
    assert source.result(rendered) == Sent("console")


async def test_the_console_prints_an_sms(capsys: pytest.CaptureFixture[str]) -> None:
    source = ListSource([a_message("+33612345678", "Voilà".encode(), Channel.SMS)])
    await provider("console:", Channel.SMS).session().deliver(source)
    assert "sms to +33612345678\nVoilà\n" in capsys.readouterr().out
