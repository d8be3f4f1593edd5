import gzip
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from devstack.cluster import Cluster
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import fresh_database

MAIL = {"email": "ada@example.org"}
JSON = {"Content-Type": "application/json"}
HEX = "0192f0c47a3e7cc19a553d1f0a9b8c7d"
ODD_IDS = [
    "7",
    HEX,
    f"urn:uuid:{UUID(HEX)}",
    f"{{{UUID(HEX)}}}",
    f"0192-{HEX[4:]}",
    f"{UUID(HEX)}\n",
    f"{UUID(HEX)}"[:-1] + "٣",
]


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[ApiUnderTest]:
    """One database for all tests: rejected requests leave it unchanged."""
    with fresh_database(cluster) as database, api_on(database) as api:
        yield api


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "#", "address_required"),
        ({"email": "ada"}, "#/email", "invalid_email"),
        ({"email": "ada@"}, "#/email", "invalid_email"),
        ({"email": "ada@localhost@example.org"}, "#/email", "invalid_email"),
        ({"email": " ada@example.org"}, "#/email", "invalid_email"),
        ({"email": "Ada <ada@example.org>"}, "#/email", "invalid_email"),
        ({"email": "ada@example.org\n"}, "#/email", "control_character"),
        ({"email": "ada@example.org\r\nBcc: eve@example.org"}, "#/email", "control_character"),
        ({"email": "ada\0@example.org"}, "#/email", "control_character"),
        ({"email": "a" * 600 + "@example.org"}, "#/email", "too_long"),
        ({"email": "a" * 65 + "@example.org"}, "#/email", "invalid_email"),
        ({"email": 7}, "#/email", "invalid_type"),
        ({"email": None}, "#/email", "invalid_type"),
        ({"email": ["ada@example.org"]}, "#/email", "invalid_type"),
        ({"phone": "0612345678"}, "#/phone", "missing_country_code"),
        ({"phone": "0033612345678"}, "#/phone", "missing_country_code"),
        ({"phone": "+19005550100"}, "#/phone", "invalid_phone"),
        ({"phone": "+33"}, "#/phone", "invalid_phone"),
        ({"phone": "+1 555"}, "#/phone", "invalid_phone"),
        ({"phone": "call +33612345678"}, "#/phone", "invalid_phone"),
        ({"phone": "+33612345678;ext=7"}, "#/phone", "invalid_phone"),
        ({"phone": "+\uff13\uff13612345678"}, "#/phone", "invalid_phone"),
        ({"phone": "+33612345678\n"}, "#/phone", "control_character"),
        ({"phone": 33612345678}, "#/phone", "invalid_type"),
        ({**MAIL, "password": "eleven char"}, "#/password", "too_short"),
        ({**MAIL, "password": "é" * 257}, "#/password", "too_long"),
        ({**MAIL, "password": "x" * 2000}, "#/password", "too_long"),
        ({**MAIL, "password": 123456789012}, "#/password", "invalid_type"),
        ({**MAIL, "password": "123456789012"}, "#/password", "too_common"),
        ({**MAIL, "password": "Password2024!!"}, "#/password", "too_common"),
        ({**MAIL, "password": "\uff30\uff41\uff53\uff53\uff57\uff4f\uff52\uff44\uff11234"}, "#/password", "too_common"),
        ({**MAIL, "password": "ADA@example.org"}, "#/password", "is_the_address"),
        ({"email": "ada.lovelace.1815@example.org", "password": "Ada.Lovelace.1815"}, "#/password", "is_the_address"),
        ({"phone": "+33612345678", "password": "+33612345678"}, "#/password", "is_the_address"),
        ({"email": "ada@b\u00fccher.example", "password": "Ada@B\u00dcCHER.example"}, "#/password", "is_the_address"),
        ({**MAIL, "full_name": ""}, "#/full_name", "too_short"),
        ({**MAIL, "full_name": " \u3000 "}, "#/full_name", "too_short"),
        ({**MAIL, "full_name": "x" * 201}, "#/full_name", "too_long"),
        ({**MAIL, "full_name": "Ada\r\nBcc: eve@example.org"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "Ada\n"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "Ada\0"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "Ada\u2028"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "Ada \u202egro.elpmaxe"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "A\u200bda"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "Ada\u200d"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "A\u200dda"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "Ada\ufeff"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "A\u00adda"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "Ada\U000e0041"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "Ada\ue000"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "Ada\uffff"}, "#/full_name", "control_character"),
        ({**MAIL, "full_name": "\u3164 \u2800"}, "#/full_name", "too_short"),
        ({**MAIL, "full_name": True}, "#/full_name", "invalid_type"),
        ({**MAIL, "locale": "de"}, "#/locale", "invalid_choice"),
        ({**MAIL, "locale": "EN"}, "#/locale", "invalid_choice"),
        ({**MAIL, "locale": {}}, "#/locale", "invalid_type"),
        ({**MAIL, "channel": "pigeon"}, "#/channel", "invalid_choice"),
        ({**MAIL, "channel": "sms"}, "#/channel", "channel_without_address"),
        ({"phone": "+33612345678", "channel": "email"}, "#/channel", "channel_without_address"),
        ({**MAIL, "is_admin": True}, "#/is_admin", "unknown_field"),
        ({**MAIL, "a/b~c d": 1}, "#/a~1b~0c%20d", "unknown_field"),
        ({**MAIL, "_schema": 1}, "#/_schema", "unknown_field"),
    ],
)
def test_bad_fields_are_reported_and_nothing_is_written(
    api: ApiUnderTest, body: dict[str, Any], pointer: str, code: str
) -> None:
    response = api.client.post("/v1/registrations", json={"password": PASSWORD, **body})

    assert (response.status_code, response.mimetype) == (422, "application/problem+json")
    assert (response.json["code"], response.json["status"]) == ("validation_failed", 422)
    assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [(pointer, code)]
    assert all(error["message"] for error in response.json["errors"])
    assert api.count_rows() == (0, 0, 0)


def test_all_violations_are_reported_together(api: ApiUnderTest) -> None:
    response = api.client.post("/v1/registrations", json={"email": "ada", "password": "short", "nickname": "A"})

    assert {error["pointer"] for error in response.json["errors"]} == {"#/email", "#/password", "#/nickname"}


def test_a_missing_password_is_reported(api: ApiUnderTest) -> None:
    response = api.client.post("/v1/registrations", json=MAIL)

    assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [("#/password", "required")]


@pytest.mark.parametrize("value", [[], [MAIL], "ada@example.org", 7, None, True])
def test_a_body_that_is_not_an_object_is_rejected(api: ApiUnderTest, value: Any) -> None:
    response = api.client.post("/v1/registrations", data=json.dumps(value), headers=JSON)

    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [("#", "invalid_type")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"email": "ada@example.org",}',
        b'{"email": "ada@example.org", "email": "eve@example.org", "password": "four quiet words here"}',
        b'{"email": NaN}',
        b'{"email": "\xff"}',
        b'{"email": "\\ud800"}',
        b'{"full_name": "Ada", "password": "\\udfff four quiet words"}',
        b"[" * 16_000,
        b'{"a":' * 3_000,
        b'{"email": ' + b"9" * 5_000 + b"}",
        "\ufeff{}".encode(),
    ],
)
def test_invalid_or_ambiguous_json_is_malformed(api: ApiUnderTest, body: bytes) -> None:
    response = api.client.post("/v1/registrations", data=body, headers=JSON)

    assert (response.status_code, response.json["code"]) == (400, "malformed_json")
    assert api.count_rows() == (0, 0, 0)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=latin-1", "application/json;charset=utf-16", 'application/json; charset="x"'],
)
def test_json_must_be_utf_8(api: ApiUnderTest, content_type: str) -> None:
    response = api.client.post("/v1/registrations", data=b"{}", headers={"Content-Type": content_type})

    assert (response.status_code, response.json["code"]) == (415, "unsupported_media_type")
    reported = {"Content-Type": 'application/json; charset="UTF-8"'}
    assert api.client.post("/v1/registrations", data=b"{}", headers=reported).status_code == 422


def test_a_compressed_body_is_rejected_as_such(api: ApiUnderTest) -> None:
    body = gzip.compress(json.dumps({**MAIL, "password": PASSWORD}).encode())
    packed = api.client.post("/v1/registrations", data=body, headers=JSON | {"Content-Encoding": "gzip"})
    plain = api.client.post("/v1/registrations", data=b"{}", headers=JSON | {"Content-Encoding": "Identity"})

    assert (packed.status_code, packed.json["code"]) == (415, "unsupported_media_type")
    assert plain.status_code == 422


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_only_json_is_accepted(api: ApiUnderTest, content_type: str) -> None:
    body = json.dumps({**MAIL, "password": PASSWORD})
    response = api.client.post("/v1/registrations", data=body, headers={"Content-Type": content_type})

    assert (response.status_code, response.json["code"]) == (415, "unsupported_media_type")
    assert api.count_rows() == (0, 0, 0)


def test_a_body_of_16_kib_is_read_and_a_byte_more_is_not(api: ApiUnderTest) -> None:
    body = json.dumps({**MAIL, "password": "too short"}).encode()

    read = api.client.post("/v1/registrations", data=body.ljust(16 * 1024), headers=JSON)
    unread = api.client.post("/v1/registrations", data=body.ljust(16 * 1024 + 1), headers=JSON)

    assert (read.status_code, read.json["code"]) == (422, "validation_failed")
    assert (unread.status_code, unread.json["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1//me", 404, "not_found"),
        ("GET", "/v1/registrations/not-an-id", 404, "not_found"),
        ("GET", "/v1/registrations/6f3f9f0e-6a49-4f4d-9a0e-0123456789ab", 404, "not_found"),
        ("POST", "/v1/registrations/6f3f9f0e-6a49-4f4d-9a0e-0123456789ab/resend", 404, "not_found"),
        ("DELETE", "/v1/registrations", 405, "method_not_allowed"),
        ("GET", "/v1/activations", 405, "method_not_allowed"),
    ],
)
def test_unknown_paths_and_wrong_methods_get_problems(
    api: ApiUnderTest, method: str, path: str, status: int, code: str
) -> None:
    response = api.client.open(path, method=method)

    assert (response.status_code, response.mimetype) == (status, "application/problem+json")
    assert response.json.keys() == {"type", "title", "status", "detail", "code", "request_id"}
    assert (response.json["code"], response.json["type"]) == (code, f"/problems/{code}")
    assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "#", "one_form_required"),
        ({"code": "123456"}, "#", "one_form_required"),
        ({"token": "t", "code": "123456"}, "#", "one_form_required"),
        *(({"registration_id": odd, "code": "123456"}, "#/registration_id", "invalid_id") for odd in ODD_IDS),
        ({"registration_id": 7, "code": "123456"}, "#/registration_id", "invalid_type"),
        ({"token": "x" * 600}, "#/token", "too_long"),
        ({"token": 7}, "#/token", "invalid_type"),
        ({"token": "t", "next": "/"}, "#/next", "unknown_field"),
    ],
)
def test_an_activation_has_exactly_one_form(api: ApiUnderTest, body: dict[str, Any], pointer: str, code: str) -> None:
    response = api.client.post("/v1/activations", json=body)

    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [(pointer, code)]


@pytest.mark.parametrize(
    ("offered", "is_echoed"),
    [("a-B_c.9", True), ("x" * 128, True), ("x" * 129, False), ("two words", False), ("é", False), ("", False)],
)
def test_a_valid_request_id_is_echoed_and_any_other_replaced(
    api: ApiUnderTest, offered: str, *, is_echoed: bool
) -> None:
    response = api.client.get("/nowhere", headers={"X-Request-Id": offered})

    assert response.json["request_id"] == response.headers["X-Request-Id"] != ""
    assert (response.headers["X-Request-Id"] == offered) is is_echoed
