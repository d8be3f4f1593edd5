"""Explain to operators what a provider's refusal of a login means, in the provider's terms.

Sources: https://support.google.com/a/answer/3726730 for Google's replies,
https://learn.microsoft.com/en-us/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission
for Microsoft's, https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes for AADSTS codes, and
RFC 6749 §5.2 for the other errors of token endpoints.
"""

import re
from dataclasses import dataclass

SMTP_NAME = re.compile(r"smtps?:.*:(?P<port>[0-9]+)(?:#.*)?")


@dataclass(frozen=True)
class LoginHint:
    """One row of the table. ``error`` is a regular expression for the beginning of a failure's text."""

    error: str
    hint: str


_TWO_STEPS = (
    "Google does not accept the account's own password over SMTP. Create an app password, which needs 2-Step"
    " Verification, or use auth=xoauth2."
)

LOGIN_HINTS = (
    LoginHint(r"AUTH: 534 5\.7\.9\b", _TWO_STEPS),
    LoginHint(
        r"AUTH: 534 5\.7\.14\b",
        "Google has blocked this sign-in. Sign in to the account in a browser once, and confirm the request; or use"
        " auth=xoauth2.",
    ),
    LoginHint(
        r'AUTH: 535 5\.7\.8\b.*"scope" ?: ?"https://mail\.google\.com/"',
        "Google does not accept the access token: it lacks the scope https://mail.google.com/, or belongs to another"
        " user than the one in the URL. Authorize the account again with that scope.",
    ),
    LoginHint(
        r"AUTH: 535 5\.7\.8\b.*(?:BadCredentials|gsmtp)",
        f"The user or password is wrong. {_TWO_STEPS}",
    ),
    LoginHint(
        r"AUTH: 535 5\.7\.139\b.*SmtpClientAuthentication is disabled for the Tenant",
        "Microsoft 365 does not allow authenticated SMTP in this tenant. Turn it on for the mailbox: Set-CASMailbox"
        " USER -SmtpClientAuthenticationDisabled $false. It takes effect within an hour.",
    ),
    LoginHint(
        r"AUTH: 535 5\.7\.139\b.*SmtpClientAuthentication is disabled for the Mailbox",
        "Microsoft 365 does not allow authenticated SMTP for this mailbox. Turn it on: Set-CASMailbox USER"
        " -SmtpClientAuthenticationDisabled $false. It takes effect within an hour.",
    ),
    LoginHint(
        r"AUTH: 535 5\.7\.139\b.*basic authentication is disabled",
        "Microsoft 365 does not accept passwords over SMTP any more. Use auth=xoauth2.",
    ),
    LoginHint(
        r"AUTH: 535 5\.7\.139\b.*security defaults",
        "The security defaults of this Microsoft 365 tenant forbid passwords over SMTP. Use auth=xoauth2.",
    ),
    LoginHint(
        r"AUTH: 535 5\.7\.139\b",
        "A policy of this Microsoft 365 tenant forbids the login. Look for it in the sign-in log of Entra, and use"
        " auth=xoauth2 if you log in with a password.",
    ),
    LoginHint(
        r"AUTH: 535 5\.7\.3\b",
        "Microsoft 365 does not accept the login. With auth=xoauth2: the application needs SMTP.SendAsApp with admin"
        " consent, a service principal in Exchange (New-ServicePrincipal with the object id of the enterprise"
        " application), and FullAccess to the mailbox (Add-MailboxPermission); the scope is"
        " https://outlook.office365.com/.default. With a password: use auth=xoauth2.",
    ),
    LoginHint(
        r"(?:MAIL|RCPT|content): 5\d\d (?:5\.7\.60|5\.2\.252)\b",
        "The account may not send as the address in EMAIL_FROM. Log in as that mailbox, or give the account the right"
        " Send As for it.",
    ),
    LoginHint(
        r"certificate not trusted: .*(?:issuer certificate|self-signed certificate)",
        "This machine does not know the authority that issued the server's certificate. Check host and port. For an"
        " authority of your own, add ca=FILE with its certificate to the URL.",
    ),
    LoginHint(
        r"the server does not offer AUTH (?:XOAUTH2|OAUTHBEARER)$",
        "The server does not accept access tokens of this kind. Try the other one of auth=xoauth2 and auth=oauthbearer,"
        " or a password.",
    ),
    LoginHint(
        r"the server does not offer AUTH",
        "The server does not accept passwords here. Check host and port; Google and Microsoft accept auth=xoauth2.",
    ),
    LoginHint(
        r"token refused: .*AADSTS7000215\b",
        "The client secret is wrong. Microsoft Entra shows a secret's value only once, when it is created; the secret's"
        " ID is not the secret. Create a new one, and put its value into client_secret_file.",
    ),
    LoginHint(
        r"token refused: .*AADSTS7000222\b",
        "The client secret has expired. Create a new one in Microsoft Entra, and put its value into"
        " client_secret_file.",
    ),
    LoginHint(
        r"token refused: .*AADSTS(?:700016|90002|900023)\b",
        "Microsoft Entra does not know this application in this tenant. Check client_id and the tenant in token_url.",
    ),
    LoginHint(
        r"token refused: .*AADSTS(?:65001|650056|650057)\b",
        "Consent is missing. Grant admin consent for the application's permissions in Microsoft Entra.",
    ),
    LoginHint(
        r"token refused: .*AADSTS(?:70011|1002012|500011)\b",
        "The scope is wrong. With a client secret alone, it is https://outlook.office365.com/.default; with a refresh"
        " token, https://outlook.office.com/SMTP.Send offline_access.",
    ),
    LoginHint(
        r"token refused: invalid_grant\b",
        "The refresh token was revoked or has expired, or belongs to another client_id. A new password, removed"
        " consent, and long disuse have this effect; Google ends tokens of an application in testing after seven days."
        " Authorize the account again, and put the new token into refresh_token_file.",
    ),
    LoginHint(
        r"token refused: invalid_client\b",
        "The token endpoint does not accept client_id with the secret in client_secret_file.",
    ),
    LoginHint(
        r"token refused: invalid_scope\b",
        "The scope is wrong, or the client may not ask for it. Google's is https://mail.google.com/, Microsoft's"
        " https://outlook.office365.com/.default for a client secret.",
    ),
    LoginHint(
        r"token refused: (?:unauthorized_client|unsupported_grant_type)\b",
        "The client may not get tokens in this way. With refresh_token_file, the relay uses the grant refresh_token,"
        " and otherwise client_credentials.",
    ),
    LoginHint(
        r"token refused: .* \(HTTP [34]",
        "The token endpoint does not accept the request. Check token_url.",
    ),
)

BLOCKED_PORT = (
    "Nothing responds on port {port}. Many hosting platforms block outgoing SMTP, often without an error. Ask the"
    " platform to open the port, try 587, 465 or 2525 if the provider has them, or send through a provider with an"
    " HTTPS API."
)
_NO_ROUTE = re.compile(r"could not connect in time|no response in time|network failed")


def login_hint(provider: str, error: str) -> str | None:
    """Return an operator's next step after a failure of that provider, or None if the failure speaks for itself."""
    server = SMTP_NAME.fullmatch(provider)
    if server is None:
        return None
    if _NO_ROUTE.match(error):
        return BLOCKED_PORT.format(port=server["port"])
    return next((each.hint for each in LOGIN_HINTS if re.match(each.error, error, re.DOTALL)), None)


def explained(provider: str, error: str) -> str:
    """Return the error, with the hint in a second line if there is one."""
    hint = login_hint(provider, error)
    return f"{error}\n  {hint}" if hint else error
