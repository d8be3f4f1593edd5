"""Providers of other packages, registered under the entry point group ``signpost.providers``."""

import re
import subprocess
from collections.abc import Iterable
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from outbox_relay.channels.urls import (
    ENTRY_POINT_GROUP,
    DeliveryContext,
    ProviderScheme,
    check_provider_url,
    find_scheme,
    providers_from,
)
from outbox_relay.model import Caps, Failure, FailureClass, Rate, Sent
from shared.vocabulary import Channel
from tests.support.http_gateway import HttpGateway, answer
from tests.support.processes import SCRIPTS
from tests.support.smpp_sessions import an_sms
from tests.support.sms_sessions import result_through

pytestmark = pytest.mark.anyio

CONTRIBUTING = Path(__file__).parents[3] / "CONTRIBUTING.md"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(packages: Path, name: str, entry_points: Iterable[tuple[str, str]]) -> None:
    metadata = packages / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{scheme} = {value}" for scheme, value in entry_points]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *lines, ""]))


@pytest.fixture(scope="module")
def recipe_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the provider recipe of CONTRIBUTING.md as a package."""
    source = tmp_path_factory.mktemp("acme")
    recipe = CONTRIBUTING.read_text().partition("### a provider for a channel\n")[2].partition("\n### ")[0]
    [module] = re.findall(r"```python\n(.*?)```", recipe, re.DOTALL)
    [project] = re.findall(r"```toml\n(.*?)```", recipe, re.DOTALL)
    (source / "acme_sms.py").write_text(module)
    (source / "pyproject.toml").write_text(project)
    subprocess.run([SCRIPTS / "hatchling", "build", "-t", "wheel"], cwd=source, check=True, capture_output=True)
    [wheel] = (source / "dist").iterdir()
    return wheel


@pytest.fixture
def recipe(packages: Path, recipe_wheel: Path) -> None:
    """Install the recipe's package. Signpost itself, on which it depends, is installed already."""
    install = [SCRIPTS / "uv", "pip", "install", "--offline", "--no-deps", "--target", packages, recipe_wheel]
    subprocess.run(install, check=True, capture_output=True)


@pytest.mark.parametrize("scheme", sorted(entry_points(group=ENTRY_POINT_GROUP).names))
def test_each_registered_scheme_can_be_loaded(scheme: str) -> None:
    assert isinstance(find_scheme(scheme), ProviderScheme)


@pytest.mark.usefixtures("recipe")
async def test_the_recipe_for_a_provider_works() -> None:
    message = an_sms("Your code is 123456", "+33612345678")
    async with HttpGateway(answer(201, b'{"id": "m1"}')) as gateway:
        url = f"acme://us:pw@127.0.0.1:{gateway.port}?from=Signpost&tls=none&rate=5/s"
        assert await result_through(url, message) == Sent(f"acme:127.0.0.1:{gateway.port}", "m1")
        [request] = gateway.requests
        assert request.fields == {"to": "+33612345678", "from": "Signpost", "text": "Your code is 123456"}
        gateway.reply = answer(200, b'{"code": "no_such_number"}')
        refused = await result_through(url, message)
        gateway.reply = answer(400, b'{"code": "no_credit"}')
        without_credit = await result_through(url, message)
    assert isinstance(refused, Failure)
    assert (refused.kind, refused.error) == (FailureClass.RECIPIENT, 'HTTP 200 {"code": "no_such_number"}')
    assert isinstance(without_credit, Failure)
    assert (without_credit.kind, without_credit.is_about_message) == (FailureClass.PROVIDER, False)


@pytest.mark.usefixtures("recipe")
def test_a_provider_of_another_package_has_limits_and_channels_like_any_other() -> None:
    url = "acme://us:pw@sms.example?from=Signpost&rate=5/s"
    [capped] = providers_from(url, Channel.SMS, DeliveryContext(sender="", timeout=timedelta(seconds=1)))
    assert (capped.provider.name, capped.caps) == ("acme:sms.example", Caps(Rate(5, "s")))
    with pytest.raises(ValueError, match="has a acme URL, which cannot deliver email messages"):
        check_provider_url(url, Channel.EMAIL)


def test_a_package_that_cannot_be_loaded_is_reported(packages: Path) -> None:
    install(packages, "broken_for_signpost", [("broken", "broken_for_signpost:BROKEN")])
    with pytest.raises(ValueError, match="has a broken URL, whose provider cannot be loaded: No module named"):
        check_provider_url("broken://a.example", Channel.SMS)


def test_two_packages_cannot_share_a_scheme(packages: Path) -> None:
    install(packages, "other_twilio", [("twilio", "other_twilio:TWILIO")])
    with pytest.raises(ValueError, match="has a twilio URL, and several packages register that scheme"):
        check_provider_url("twilio://sid:token@api.twilio.com?from=1", Channel.SMS)
