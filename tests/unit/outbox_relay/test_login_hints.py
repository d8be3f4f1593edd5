"""Replies as providers send them, and the advice of the relay's commands."""

import pytest

from outbox_relay.failures.login_hints import explained, login_hint

GOOGLE, MICROSOFT = "smtp:smtp.gmail.com:587", "smtp:smtp.office365.com:587"
DISABLED = "AUTH: 535 5.7.139 Authentication unsuccessful, {} [AM0PR01CA0001.eurprd01.prod.exchangelabs.com]"


@pytest.mark.parametrize(
    ("provider", "error", "advice"),
    [
        (
            GOOGLE,
            "AUTH: 534 5.7.9 Application-specific password required. https://support.google.com/mail/?p=… - gsmtp",
            "Create an app password",
        ),
        (GOOGLE, "AUTH: 534 5.7.14 <https://accounts.google.com/signin/continue?…> Please log in", "in a browser"),
        (
            GOOGLE,
            "AUTH: 535 5.7.8 Username and Password not accepted. go to 5.7.8  https://…/?p=BadCredentials - gsmtp",
            "The user or password is wrong",
        ),
        (
            GOOGLE,
            'AUTH: 535 5.7.8 … - gsmtp {"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}',
            "lacks the scope https://mail.google.com/",
        ),
        (
            MICROSOFT,
            DISABLED.format(
                "SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled"
            ),
            "does not allow authenticated SMTP in this tenant",
        ),
        (MICROSOFT, DISABLED.format("SmtpClientAuthentication is disabled for the Mailbox."), "for this mailbox"),
        (MICROSOFT, DISABLED.format("basic authentication is disabled."), "Use auth=xoauth2"),
        (
            MICROSOFT,
            DISABLED.format("user is locked by your organization's security defaults policy."),
            "security defaults of this Microsoft 365 tenant",
        ),
        (
            MICROSOFT,
            DISABLED.format("the request did not meet the criteria to be authenticated successfully."),
            "A policy of this Microsoft 365 tenant",
        ),
        (MICROSOFT, "AUTH: 535 5.7.3 Authentication unsuccessful [AM0P.prod.outlook.com]", "New-ServicePrincipal"),
        (
            "smtp:mail.example.org:587",
            "certificate not trusted: certificate verify failed: unable to get local issuer certificate",
            "add ca=FILE",
        ),
        (
            MICROSOFT,
            "content: 554 5.2.252 SendAsDenied; ada@example.org not allowed to send as no-reply@example.org",
            "may not send as the address in EMAIL_FROM",
        ),
        (
            MICROSOFT,
            "content: 550 5.7.60 SMTP; Client does not have permissions to send as this sender",
            "may not send as the address in EMAIL_FROM",
        ),
        (
            MICROSOFT,
            "token refused: invalid_client: AADSTS7000215: Invalid client secret provided. … (HTTP 401)",
            "The client secret is wrong",
        ),
        (
            MICROSOFT,
            "token refused: invalid_client: AADSTS7000222: The provided keys are expired (HTTP 401)",
            "expired",
        ),
        (MICROSOFT, "token refused: unauthorized_client: AADSTS700016: Application not found (HTTP 400)", "client_id"),
        (MICROSOFT, "token refused: invalid_grant: AADSTS65001: no consent (HTTP 400)", "Grant admin consent"),
        (MICROSOFT, "token refused: invalid_scope: AADSTS1002012: … (HTTP 400)", "outlook.office365.com/.default"),
        (MICROSOFT, "token refused: invalid_grant: AADSTS700082: inactive for 90 days (HTTP 400)", "refresh token was"),
        (GOOGLE, "token refused: invalid_grant: Token has been expired or revoked. (HTTP 400)", "refresh token was"),
        (GOOGLE, "token refused: invalid_client: The OAuth client was not found. (HTTP 401)", "client_secret_file"),
        (GOOGLE, "token refused: invalid_scope: Bad Request (HTTP 400)", "The scope is wrong"),
        (GOOGLE, "token refused: unauthorized_client: Unauthorized (HTTP 401)", "refresh_token_file"),
        (GOOGLE, "token refused: the response has no token (HTTP 404)", "Check token_url"),
        ("smtp:mail.example.org:587", "the server does not offer AUTH XOAUTH2", "auth=oauthbearer"),
        ("smtp:mail.example.org:25", "the server does not offer AUTH PLAIN or LOGIN", "Check host and port"),
        ("smtp:mail.example.org:25", "could not connect in time", "Nothing responds on port 25"),
        ("smtps:[2001:db8::1]:465", "could not connect in time", "Nothing responds on port 465"),
        (
            "smtp:mail.example.org:587",
            "network failed: [Errno 101] Network is unreachable",
            "provider with an HTTPS API",
        ),
    ],
)
def test_a_refusal_is_explained_in_the_providers_terms(provider: str, error: str, advice: str) -> None:
    assert advice in (login_hint(provider, error) or "")


@pytest.mark.parametrize(
    ("provider", "error"),
    [
        ("smtp:mail.example.org:587", "connection refused: [Errno 111] Connect call failed"),
        ("smtp:mail.example.org:587", "RCPT: 550 5.1.1 no such user"),
        ("smtp:mail.example.org:587", "AUTH: 535 5.7.8 authentication failed"),
        ("twilio:api.twilio.com", "no response in time"),
    ],
)
def test_other_failures_speak_for_themselves(provider: str, error: str) -> None:
    assert explained(provider, error) == error


def test_the_advice_follows_the_error_in_a_line_of_its_own() -> None:
    error, hint = explained("smtp:mail.example.org:25", "could not connect in time").split("\n")
    assert (error, hint[:11]) == ("could not connect in time", "  Nothing r")
