"""Each row of each e-mail API's error table has an example from the provider's documentation, which matches it."""

import pytest

from outbox_relay.failures.http import API_RULES, http_rule_for
from outbox_relay.model import FailureClass
from tests.support.email_apis import EMAIL_APIS

Example = tuple[int, str, str]
"""Status, code and text of a response."""

UNVERIFIED = "Email address is not verified. The following identities failed the check in region EU-WEST-1: a@b.example"
FREE = "Domain sandbox1.mailgun.org is not allowed to send: Free accounts are for test purposes only."

# In the order of the table. API_RULES are the same for all providers.
EXAMPLES: dict[str, list[Example]] = {
    "brevo": [
        (401, "unauthorized", "We have detected you are using an unrecognised IP address ::1."),
        (401, "unauthorized", "Key not found"),
        (402, "not_enough_credits", "You do not have enough credits"),
        (403, "permission_denied", "Unable to send email. Your SMTP account is not yet activated."),
        (400, "invalid_parameter", "email is not valid in to"),
        (400, "missing_parameter", "sender email is missing"),
        (429, "too_many_requests", "Too many requests"),
    ],
    "https+mime": [
        (422, "invalid_recipient", ""),
        (400, "invalid_sender", ""),
        (413, "", "too large"),
        (409, "", ""),
    ],
    "mailgun": [
        (400, "", "'to' parameter is not a valid address. please check documentation"),
        (403, "", FREE),
        (
            403,
            "",
            "Domain mg.example.org is not allowed to send: The domain is unverified and requires DNS configuration",
        ),
        (401, "", "Forbidden"),
        (404, "", "Domain not found: mg.example.org"),
        (403, "", "Domain mg.example.org is disabled"),
        (429, "", "Domain mg.example.org: recipient limit exceeded"),
    ],
    "postmark": [
        (401, "10", "Request does not contain a valid Server token."),
        (503, "100", "The Postmark API is offline for maintenance."),
        (422, "300", "Error parsing 'To': Illegal email address 'ada'. It must contain the '@' symbol."),
        (422, "300", "Error parsing 'Reply-To': Illegal email domain 'x' in address 'a@x'."),
        (422, "400", "The 'From' address you supplied (a@b.example) is not a Sender Signature on your account."),
        (422, "405", "Not allowed to send: the account has run out of credits."),
        (422, "406", "You tried to send to recipient(s) that have been marked as inactive."),
        (422, "412", "While your account is pending approval, all recipient addresses must share the same domain"),
        (422, "413", "The account may not send."),
        (422, "1235", "The message stream for the provided 'MessageStream' was not found."),
    ],
    "resend": [
        (401, "restricted_api_key", "This API key is restricted to only send emails"),
        (
            422,
            "validation_error",
            "Invalid `to` field. The email address needs to follow the `email@example.com` format.",
        ),
        (422, "invalid_from_address", "Invalid `from` field. The email address needs to follow the format."),
        (403, "validation_error", "The example.org domain is not verified. Please, add and verify your domain"),
        (403, "validation_error", "You can only send testing emails to your own email address (a@b.example)."),
        (429, "daily_quota_exceeded", "You have reached your daily email quota."),
        (429, "rate_limit_exceeded", "Too many requests."),
        (409, "concurrent_idempotent_requests", "Another request with the same idempotency key is in progress."),
        (451, "security_error", "We may have found a security issue with the request."),
    ],
    "sendgrid": [
        (400, "personalizations.0.to.0.email", "Does not contain a valid address."),
        (400, "from.email", "The from email does not contain a valid address."),
        (401, "", "Maximum credits exceeded"),
        (401, "", "The provided authorization grant is invalid, expired, or revoked"),
        (403, "from", "The from address does not match a verified Sender Identity."),
        (403, "", "access forbidden"),
        (429, "", "too many requests"),
    ],
    "ses": [
        (400, "BadRequestException", "Missing final '@domain'"),
        (400, "MessageRejected", UNVERIFIED),
        (400, "MailFromDomainNotVerifiedException", "Could not read the MX record"),
        (400, "AccountSuspendedException", "The account's ability to send email has been permanently restricted."),
        (400, "MessageRejected", "Transaction failed: the message contains a virus"),
        (429, "TooManyRequestsException", "Maximum sending rate exceeded."),
        (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
        (403, "AccessDeniedException", "User: arn:aws:iam::1:user/x is not authorized to perform: ses:SendEmail"),
        (403, "RequestExpired", "The request reached the service more than 15 minutes after its date stamp."),
        (404, "NotFoundException", "Configuration set <x> does not exist."),
    ],
}


@pytest.mark.parametrize("name", EMAIL_APIS)
def test_the_rows_match_their_examples_in_order(name: str) -> None:
    rules = EMAIL_APIS[name].rules
    own = rules[: -len(API_RULES)]
    assert rules[-len(API_RULES) :] == API_RULES
    matching = [http_rule_for(*example, rules=rules).meaning for example in EXAMPLES[name]]
    assert matching == [rule.meaning for rule in own]


@pytest.mark.parametrize("name", EMAIL_APIS)
@pytest.mark.parametrize("status", [401, 402, 403, 404, 407, 429, 502, 503, 504])
def test_without_a_known_body_no_status_about_the_account_or_the_server_kills_a_message(name: str, status: int) -> None:
    rule = http_rule_for(status, "", "", EMAIL_APIS[name].rules)
    assert (rule.kind, rule.is_about_message) == (FailureClass.PROVIDER, False)
