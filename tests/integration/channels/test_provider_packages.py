"""Providers that other packages register under the entry point group ``signpost.providers``."""

from pathlib import Path

import pytest

from outbox_relay.channels.urls import check_provider_url
from outbox_relay.model import Sent
from shared.vocabulary import Channel
from tests.support.smpp_sessions import an_sms
from tests.support.sms_sessions import provider_at, result_through

pytestmark = pytest.mark.anyio

MODULE = """
from dataclasses import dataclass

from outbox_relay.channels.urls import ProviderScheme
from outbox_relay.model import Sent
from shared.vocabulary import Channel


@dataclass(frozen=True)
class AcmeProvider:
    name: str
    key: str

    def session(self):
        return AcmeSession(self)


class AcmeSession:
    def __init__(self, provider):
        self.provider = provider

    async def deliver(self, source):
        while (message := source.take()) is not None:
            source.report(message, Sent(self.provider.name, self.provider.key))

    async def close(self):
        pass


def make(url, context):
    return AcmeProvider(f"acme:{url.host()}", url.options("key")["key"])


ACME = ProviderScheme(frozenset({Channel.SMS}), make)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(site: Path, package: str, entry_point: str) -> None:
    metadata = site / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[signpost.providers]\n{entry_point}\n")


async def test_another_package_adds_a_provider(site: Path) -> None:
    (site / "acme_for_signpost.py").write_text(MODULE)
    install(site, "acme_for_signpost", "acme = acme_for_signpost:ACME")
    url = "acme://sms.example.org?key=k1&rate=5/s"
    assert provider_at(url).name == "acme:sms.example.org"
    assert await result_through(url, an_sms()) == Sent("acme:sms.example.org", "k1")
    with pytest.raises(ValueError, match="has a acme URL, which cannot deliver email messages"):
        check_provider_url(url, Channel.EMAIL)


def test_a_package_that_cannot_be_loaded_is_reported(site: Path) -> None:
    install(site, "broken_for_signpost", "broken = broken_for_signpost:BROKEN")
    with pytest.raises(ValueError, match="has a broken URL, whose provider cannot be loaded: No module named"):
        check_provider_url("broken://a.example", Channel.SMS)


def test_two_packages_cannot_share_a_scheme(site: Path) -> None:
    install(site, "other_twilio", "twilio = other_twilio:TWILIO")
    with pytest.raises(ValueError, match="has a twilio URL, and several packages register that scheme"):
        check_provider_url("twilio://sid:token@api.twilio.com?from=1", Channel.SMS)
