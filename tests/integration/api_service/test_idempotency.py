import json
import string
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from uuid import UUID

import pytest
from flask import g, jsonify
from werkzeug.test import TestResponse

from api_service.errors import KeyMalformedError
from api_service.http.idempotency import SECRET_MEMBERS, acquire_key, parse_key, request_key, store_response
from api_service.services import EXTENSION
from tests.support.accounts import Account, signed_in
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.eventually import eventually
from tests.support.keys import SECRET_KEYS

KEY = '"5b2f0d3e-7c1a-4e8b-9f66-0a1b2c3d4e5f"'
BODY = {"email": "ada@example.org", "password": PASSWORD}


def post(api: ApiUnderTest, body: object = BODY, key: str = KEY, path: str = "/v1/registrations") -> TestResponse:
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    return api.app.test_client().post(path, data=json.dumps(body), headers=headers)


def test_a_repeated_request_executes_once_and_gets_the_same_response(api: ApiUnderTest) -> None:
    first, second, bare = post(api), post(api), post(api, key=KEY.strip('"'))

    for again in (second, bare):
        assert (again.status_code, again.json) == (202, first.json)
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.mimetype == first.mimetype
    assert "Idempotency-Replayed" not in first.headers
    assert api.count_rows() == (1, 1, 1)


def test_requests_without_a_key_or_with_different_keys_are_independent(api: ApiUnderTest) -> None:
    responses = [post(api), post(api, key=KEY.replace("5b", "5c")), api.register(), api.register()]

    assert {response.status_code for response in responses} == {202}
    assert api.count_rows() == (4, 4, 4)


def test_a_key_does_not_fit_another_body_or_path(api: ApiUnderTest) -> None:
    first = api.registered(email="grace@example.org")
    post(api)
    post(api, {}, path=f"/v1/registrations/{first}/resend")

    others = [
        post(api, {**BODY, "password": PASSWORD + "!"}),
        post(api, {}, path=f"/v1/registrations/{post(api).json['id']}/resend"),
    ]

    assert {(response.status_code, response.json["code"]) for response in others} == {(422, "idempotency_key_reused")}
    assert api.count_rows() == (2, 2, 3)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        '"short, quoted"',
        '"' + "x" * 256 + '"',
        '"an unfinished string',
        '"two of them at", "once"',
        "with spaces in it and no quotes",
        '"a back\\slash too many"',
        '"not ascii: \u00e9\u00e9\u00e9\u00e9\u00e9"',
        '"sixteen-letters-or-more";q=1',
    ],
)
def test_a_malformed_key_is_rejected(api: ApiUnderTest, key: str) -> None:
    response = post(api, key=key)

    assert (response.status_code, response.json["code"]) == (400, "idempotency_key_malformed")
    assert api.count_rows() == (0, 0, 0)


@pytest.mark.parametrize("length", [16, 255])
def test_a_key_has_16_to_255_characters(length: int) -> None:
    key = "k" * length
    assert parse_key(key) == parse_key(f'"{key}"') == key


@pytest.mark.parametrize("length", [15, 256])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_shorter_or_longer_key_is_malformed(length: int, quote: str) -> None:
    with pytest.raises(KeyMalformedError):
        parse_key(quote + "k" * length + quote)


def test_a_key_may_contain_all_printable_ascii_characters_in_quotes_and_those_of_urls_without() -> None:
    printable = "".join(map(chr, range(0x20, 0x7F))).replace('"', "").replace("\\", "")
    of_urls = string.ascii_letters + string.digits + "._~:/+=@-"
    assert (parse_key(f'"{printable}"'), parse_key(of_urls)) == (printable, of_urls)
    for other in "\x1f\x7f":
        with pytest.raises(KeyMalformedError):
            parse_key(f'"{"k" * 16}{other}"')


def test_quotes_are_not_part_of_a_key() -> None:
    assert parse_key(r'"sixteen \"letters\" or \\ more"') == 'sixteen "letters" or \\ more'


def test_concurrent_requests_with_one_key_register_once(api: ApiUnderTest) -> None:
    with ThreadPoolExecutor(8) as crowd:
        responses = list(crowd.map(lambda _: post(api), range(16)))

    assert {response.status_code for response in responses} <= {202, 409}
    assert len({response.json["id"] for response in responses if response.status_code == 202}) == 1
    assert {response.json["code"] for response in responses if response.status_code == 409} <= {
        "idempotency_key_in_use"
    }
    assert api.count_rows() == (1, 1, 1)
    assert post(api).headers["Idempotency-Replayed"] == "true"


def test_a_repetition_does_not_wait_for_the_first_request(api: ApiUnderTest) -> None:
    sessions = api.app.extensions[EXTENSION].sessions
    with api.app.test_request_context("/v1/registrations", method="POST", json=BODY), sessions.begin() as session:
        g.request_key = request_key(parse_key(KEY))
        acquire_key(session)
        response = post(api)

    assert (response.status_code, response.json["code"]) == (409, "idempotency_key_in_use")
    assert response.headers["Retry-After"] == "1"
    assert api.count_rows() == (0, 0, 0)
    assert post(api).status_code == 202


def test_a_rejected_request_is_checked_again(api: ApiUnderTest) -> None:
    assert post(api, {**BODY, "password": "short"}).status_code == 422

    assert post(api).status_code == 202
    assert "Idempotency-Replayed" not in post(api, key=KEY.replace("5b", "5c")).headers


def test_an_activation_can_be_repeated_after_its_response_was_lost(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    body = {"registration_id": str(registration_id), "code": api.code(registration_id)}

    responses = [post(api, body, path="/v1/activations") for _ in range(2)]

    assert responses[0].json.keys() == {"status", "access_token", "token_type", "expires_in", "refresh_token"}
    without_access = {name: value for name, value in responses[0].json.items() if name not in SECRET_MEMBERS}
    assert (responses[1].status_code, responses[1].json) == (200, without_access)
    assert api.tokens(registration_id)[0].attempts_left == 4
    assert post(api, body, KEY.replace("5b", "5c"), "/v1/activations").status_code == 400


def test_a_repetition_that_overlaps_the_first_request_gets_its_response(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    body = {"registration_id": str(registration_id), "code": api.code(registration_id)}
    with api.database.connect() as elsewhere, ThreadPoolExecutor(1) as someone:
        with elsewhere.transaction():
            # The repetition has found no stored response, and waits for the code's row.
            elsewhere.execute("select from tokens for update")
            overlapping = someone.submit(post, api, body, path="/v1/activations")
            eventually(api.count_waiting)
            with api.app.test_request_context("/v1/activations", method="POST", data=json.dumps(body)):
                first_key = request_key(parse_key(KEY))
            elsewhere.execute("update tokens set used_at = now()")
            elsewhere.execute(
                "insert into idempotency_keys (id, fingerprint, status, headers, body)"
                " values (%s, %s, 200, '{}', 'first')",
                [first_key.id, first_key.fingerprints[0]],
            )
        again = overlapping.result(30)

    assert (again.status_code, again.text, again.headers["Idempotency-Replayed"]) == (200, "first", "true")


def test_a_stored_response_is_deleted_with_its_user(api: ApiUnderTest) -> None:
    registration_id = UUID(post(api).json["id"])
    post(api, {}, path=f"/v1/registrations/{registration_id}/resend")
    activation = {"registration_id": str(registration_id), "code": api.code(registration_id)}
    bearer = {"Authorization": f"Bearer {post(api, activation, path='/v1/activations').json['access_token']}"}
    new = {"email": "countess@example.org", "password": PASSWORD}
    api.client.post("/v1/me/email", json=new, headers=bearer | {"Idempotency-Key": KEY})
    assert [row.user_id for row in api.rows("select user_id from idempotency_keys")] == [registration_id] * 4

    assert api.client.delete("/v1/me", json={"password": PASSWORD}, headers=bearer).status_code == 202

    assert api.rows("select 1 from idempotency_keys") == []


@pytest.mark.parametrize("email", [BODY["email"], "nobody@example.org"])
def test_a_repeated_reset_request_does_not_reveal_an_erasure(api: ApiUnderTest, email: str) -> None:
    ada = Account(api, api.activated(email=BODY["email"]), signed_in(api, BODY["email"]))
    first = post(api, {"email": email}, path="/v1/password-resets")
    assert ada.erase(password=PASSWORD).status_code == 202

    again = post(api, {"email": email}, path="/v1/password-resets")

    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json == first.json
    [stored] = api.rows("select body, user_id from idempotency_keys")
    assert (json.loads(stored.body).keys(), stored.user_id) == ({"channel", "destination"}, None)


def test_a_stored_response_reveals_neither_key_nor_password(api: ApiUnderTest) -> None:
    post(api)
    [row] = api.rows("select * from idempotency_keys")

    stored = b"".join((bytes(row.id), bytes(row.fingerprint), json.dumps(row.headers).encode(), row.body.encode()))
    body = json.dumps(BODY).encode()
    assert not any(secret in stored for secret in (b"ada@", PASSWORD.encode(), KEY.strip('"').encode()))
    assert bytes(row.fingerprint) not in (sha256(body).digest(), sha256(b"POST\0/v1/registrations\0" + body).digest())


def test_a_repetition_is_recognized_after_a_key_rotation(api: ApiUnderTest) -> None:
    first = post(api)
    rotated = "new:" + "TmV3IGtleSBvZiAzMiBieXRlcywgb3Igc29tZSBtb3Jl" + "," + SECRET_KEYS
    with api_on(api.database, SECRET_KEYS=rotated) as later:
        assert post(later).json == first.json


def test_stored_responses_contain_no_tokens(api: ApiUnderTest) -> None:
    sessions = api.app.extensions[EXTENSION].sessions
    with api.app.test_request_context("/v1/activations", method="POST", data=b"{}"), sessions.begin() as session:
        g.request_key = request_key("a key of some length")
        store_response(session, jsonify(status="active", access_token="a.b.c", refresh_token="r", expires_in=300))

    [row] = api.rows("select body from idempotency_keys")
    assert json.loads(row.body) == {"status": "active", "expires_in": 300}


def test_users_do_not_share_keys(api: ApiUnderTest) -> None:
    def key_for(user_id: str) -> bytes:
        with api.app.test_request_context("/v1/registrations", method="POST", data=b"{}"):
            g.user_id = user_id
            return request_key("a key of some length").id

    assert key_for("ada") == key_for("ada") != key_for("grace")


def test_methods_and_routes_do_not_share_keys(api: ApiUnderTest) -> None:
    def key_for(method: str, path: str) -> bytes:
        with api.app.test_request_context(path, method=method, data=b"{}"):
            return request_key("a key of some length").id

    assert len({key_for("POST", "/v1/sessions"), key_for("GET", "/v1/sessions"), key_for("GET", "/v1/me")}) == 3
