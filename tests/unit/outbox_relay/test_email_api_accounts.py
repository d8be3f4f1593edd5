"""What `check-settings --connect` says about an account, and the signature of SES."""

import json
from datetime import UTC, datetime

import pytest

from outbox_relay.channels.http.ses import AwsKey, sign
from outbox_relay.channels.http.session import AccountCheck, HttpProvider, HttpRequest, HttpResponse
from tests.support.email_apis import EMAIL_APIS

# From the "AWS Signature Version 4 test suite".
EXAMPLE_KEY = AwsKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
EXAMPLE_TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        pytest.param(
            HttpRequest("https://example.amazonaws.com/"),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="get-vanilla",
        ),
        pytest.param(
            HttpRequest("https://example.amazonaws.com/?Param2=value2&Param1=value1"),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            id="get-vanilla-query-order-key-case",
        ),
        pytest.param(
            HttpRequest("https://example.amazonaws.com/", body=b""),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            id="post-vanilla",
        ),
        pytest.param(
            HttpRequest("https://example.amazonaws.com/", FORM, b"Param1=value1"),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            id="post-x-www-form-urlencoded",
        ),
    ],
)
def test_a_signature_is_that_of_aws_test_suite(request_: HttpRequest, signature: str) -> None:
    signed = sign(request_, EXAMPLE_KEY, "us-east-1", EXAMPLE_TIME, "service")
    assert signed.headers["Authorization"].endswith(f"Signature={signature}")


def test_a_temporary_key_sends_its_token() -> None:
    key = AwsKey("AKIDEXAMPLE", "secret", "token")
    signed = sign(HttpRequest("https://example.amazonaws.com/"), key, "us-east-1", EXAMPLE_TIME)
    assert signed.headers["X-Amz-Security-Token"] == "token"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in signed.headers["Authorization"]


def response(status: int, body: object, **headers: str) -> HttpResponse:
    return HttpResponse(status, headers, json.dumps(body).encode())


AUTHENTICATED = {"domains": [{"domain_name": "signpost.example", "authenticated": True}]}
SCOPES = {"scopes": ["mail.send", "alerts.read"]}
VERIFIED = {"data": [{"name": "signpost.example", "status": "verified"}]}
PENDING = {"data": [{"name": "signpost.example", "status": "pending"}]}
RESTRICTED = {"name": "restricted_api_key", "message": "This API key is restricted to only send emails"}
ACCOUNT = {"SendingEnabled": True, "ProductionAccessEnabled": True}
DENIED = {"x-amzn-ErrorType": "AccessDeniedException"}
UNKNOWN_KEY = {"x-amzn-ErrorType": "UnrecognizedClientException"}


@pytest.mark.parametrize(
    ("name", "given", "problem"),
    [
        ("sendgrid", response(200, SCOPES), None),
        ("sendgrid", response(200, {"scopes": ["alerts.read"]}), "the key lacks the permission Mail Send"),
        ("sendgrid", response(401, {"errors": [{"message": "expired"}]}), "the key is wrong, was deleted, or lacks"),
        ("resend", response(200, VERIFIED), None),
        ("resend", response(401, RESTRICTED), None),
        ("resend", response(200, PENDING), "the sender's domain signpost.example is pending: verify it under Domains"),
        ("resend", response(200, {"data": []}), "signpost.example is not there: verify it under Domains"),
        ("resend", response(401, {"message": "API key is invalid"}), "the key is wrong, was revoked"),
        ("mailgun", response(400, {"message": "to parameter is missing"}), None),
        ("mailgun", response(401, "Forbidden"), "the key is wrong, or belongs to the other region"),
        ("mailgun", response(404, {"message": "Domain not found: mg.example.org"}), "is not in this account"),
        ("postmark", response(200, {"DeliveryType": "Live"}), None),
        ("postmark", response(200, {"DeliveryType": "Sandbox"}), "the server is a sandbox, which delivers no mail"),
        ("postmark", response(401, {"ErrorCode": 10, "Message": "No valid token"}), "the server's token is wrong"),
        ("brevo", response(200, AUTHENTICATED), None),
        ("brevo", response(200, {"domains": []}), "the sender's domain signpost.example is not authenticated"),
        ("brevo", response(401, {"code": "unauthorized", "message": "Key not found"}), "the key is wrong"),
        ("ses", response(200, ACCOUNT), None),
        ("ses", response(200, ACCOUNT | {"ProductionAccessEnabled": False}), "the account is in the sandbox"),
        ("ses", response(200, ACCOUNT | {"SendingEnabled": False}), "the account may not send"),
        ("ses", response(403, {"message": "x is not authorized to perform: ses:GetAccount"}, **DENIED), None),
        ("ses", response(403, {"message": "token"}, **UNKNOWN_KEY), "the access key is wrong or disabled"),
    ],
)
def test_a_problem_of_an_account_is_explained_in_the_providers_terms(
    name: str, given: HttpResponse, problem: str | None
) -> None:
    provider = EMAIL_APIS[name].provider(1)
    assert isinstance(provider, HttpProvider)
    assert isinstance(provider.api, AccountCheck)
    found = provider.api.account_problem(given)
    assert (found is None) is (problem is None)
    assert (problem or "") in (found or "")
