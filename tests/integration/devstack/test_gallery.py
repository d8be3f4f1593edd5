"""The gallery shows each message as its reader receives it."""

from collections.abc import Iterator
from itertools import product

import pytest
from flask.testing import FlaskClient

from devstack.inbox.refusals import Refusals
from devstack.inbox.store import Store
from devstack.inbox.web import create_app
from shared.templates import TEMPLATES
from shared.vocabulary import Channel, Locale


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    folder = tmp_path_factory.mktemp("inbox")
    app = create_app(Store(folder), Refusals(folder / "refusals.txt"), "sms-token")
    with app.test_client() as client:
        yield client


def test_every_message_is_linked_and_shown(client: FlaskClient) -> None:
    page = client.get("/gallery").text
    for template, locale, channel in product(TEMPLATES, Locale, Channel):
        path = f"/gallery/{template}/{locale}/{channel}"
        assert f'href="{path}"' in page
        assert "Signpost" in client.get(path).text
        assert "Signpost" in client.get(f"{path}/html").text


def test_a_message_runs_nothing_in_its_frame(client: FlaskClient) -> None:
    policy = client.get("/gallery/activation/fr/email/html").headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("path", ["nothing/en/email", "activation/xx/email", "activation/en/pigeon"])
def test_unknown_messages_are_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(f"/gallery/{path}").status_code == 404


def test_the_inbox_leads_to_the_gallery(client: FlaskClient) -> None:
    assert 'href="/gallery"' in client.get("/").text
