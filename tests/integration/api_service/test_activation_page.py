import re
from io import BytesIO

import pytest

from tests.support.api import ApiUnderTest


def test_viewing_the_page_changes_nothing(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    before = (api.user(registration_id), api.tokens(registration_id))

    for method in ("GET", "HEAD", "OPTIONS"):
        response = api.client.open(f"/activate?token={api.link_token(registration_id)}", method=method)
        assert response.status_code == 200

    assert (api.user(registration_id), api.tokens(registration_id)) == before


def test_the_button_sends_the_token_and_activates_once(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    link_token = api.link_token(registration_id)
    page = api.client.get(f"/activate?token={link_token}").text
    assert f'<input type="hidden" name="token" value="{link_token}">' in page

    first = api.client.post("/activate", data={"token": link_token})
    second = api.client.post("/activate", data={"token": link_token})

    assert first.status_code == 200
    assert "Your account is active" in first.text
    assert api.user(registration_id).status == "active"
    assert second.status_code == 400
    assert "This link does not work" in second.text


def test_a_bad_token_gets_an_error_page(api: ApiUnderTest) -> None:
    for form in ({}, {"token": ""}, {"token": "no.such"}, {"tokens": "x"}, {"token": "x" * 9_000}):
        response = api.client.post("/activate", data=form)

        assert (response.status_code, response.mimetype) == (400, "text/html")
        assert "<form" not in response.text


@pytest.mark.parametrize("path", ["/activate", "/activate/decline"])
@pytest.mark.parametrize("told_length", [True, False])
def test_a_form_that_is_too_large_gets_an_error_page_with_its_status(
    api: ApiUnderTest, path: str, *, told_length: bool
) -> None:
    body, form = b"token=" + b"x" * (16 * 1024 - 5), "application/x-www-form-urlencoded"
    framing = {"content_length": len(body)} if told_length else {"environ_overrides": {"wsgi.input_terminated": True}}
    stream = {"input_stream": BytesIO(body), "content_type": form}
    response = api.client.post(path, **stream, **framing)

    assert (response.status_code, response.mimetype) == (413, "text/html")
    assert "This link does not work" in response.text


def test_a_link_without_its_token_has_no_button(api: ApiUnderTest) -> None:
    response = api.client.get("/activate")

    assert response.status_code == 400
    assert "<form" not in response.text


def test_a_token_cannot_break_out_of_the_page(api: ApiUnderTest) -> None:
    response = api.client.get("/activate", query_string={"token": '"><script>alert(1)</script>'})

    assert "<script" not in response.text


def test_the_page_runs_no_scripts_and_sends_no_referrer(api: ApiUnderTest) -> None:
    response = api.client.get("/activate?token=t")

    policy = response.headers["Content-Security-Policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; form-action 'self';"
        r" frame-ancestors 'none'; base-uri 'none'",
        policy,
    )
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert response.headers["Cache-Control"] == "no-store"


def test_the_page_is_in_the_clients_language(api: ApiUnderTest) -> None:
    response = api.client.get("/activate?token=t", headers={"Accept-Language": "fr-FR,fr;q=0.9,en;q=0.1"})

    assert '<html lang="fr">' in response.text
    assert "Confirmer mon adresse" in response.text
    assert (response.headers["Content-Language"], response.headers["Vary"]) == ("fr", "Accept-Language")


@pytest.mark.parametrize(
    ("wanted", "spoken"),
    [
        ("fr-CA, en", "fr"),
        ("FR", "fr"),
        ("de, fr;q=0.5", "fr"),
        ("en;q=0.5, fr;q=0.9", "fr"),
        ("fr;q=0, de", "en"),
        ("en-GB, fr", "en"),
        ("frr, *", "en"),
        ("", "en"),
    ],
)
def test_the_page_uses_the_first_supported_preferred_language(api: ApiUnderTest, wanted: str, spoken: str) -> None:
    response = api.client.get("/activate?token=t", headers={"Accept-Language": wanted})

    assert response.headers["Content-Language"] == spoken


def test_a_request_for_an_icon_gets_a_cacheable_204(api: ApiUnderTest) -> None:
    response = api.client.get("/favicon.ico")

    assert (response.status_code, response.data) == (204, b"")
    assert "max-age=" in response.headers["Cache-Control"]
