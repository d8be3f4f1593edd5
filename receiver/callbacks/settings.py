"""The settings of `signpost-receiver callbacks`, from the environment."""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from marshmallow import missing

from receiver.settings import ReceiverSettings, ReceiverSettingsSchema
from shared.settings import AdminBind, Bind, CallbackBaseUrl, Text, Whole

SHORTEST_TOKEN = 16
SNS_DOMAINS = {"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}
"""By the partition in an ARN."""
_TOPIC = re.compile(r"arn:(aws|aws-us-gov|aws-cn):sns:([a-z0-9-]{1,40}):[0-9]{12}:[A-Za-z0-9_-]{1,256}", re.ASCII)
_PREFIX_OF_SECRETS = "whsec_"


class AuthTokens(Text):
    """One token or more, comma-separated."""

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the tokens."""
        tokens = tuple(token.strip() for token in text.split(","))
        if any(len(token) < SHORTEST_TOKEN or not token.isascii() for token in tokens):
            raise ValueError(f"has a token with fewer than {SHORTEST_TOKEN} characters, or not of ASCII")
        return tokens


class Credentials(Text):
    """One pair ``user:password`` or more, comma-separated."""

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the pairs."""
        pairs = tuple(pair.strip() for pair in text.split(","))
        for user, _, password in (pair.partition(":") for pair in pairs):
            if not user or len(password) < SHORTEST_TOKEN or not f"{user}{password}".isascii():
                raise ValueError(
                    f"has a pair that is not user:password with a password of {SHORTEST_TOKEN} ASCII characters or more"
                )
        return pairs


class SigningSecrets(Text):
    """One secret ``whsec_…`` or more, comma-separated."""

    def parse(self, text: str) -> tuple[bytes, ...]:
        """Return the secrets' bytes."""
        try:
            return tuple(_secret(each.strip()) for each in text.split(","))
        except ValueError:
            raise ValueError("has a secret that is not whsec_ and base64") from None


class PublicKeys(Text):
    """One public key of ECDSA with P-256 or more, comma-separated, each as base64 of its DER form."""

    def parse(self, text: str) -> tuple[EllipticCurvePublicKey, ...]:
        """Return the keys."""
        return tuple(_public_key(each.strip()) for each in text.split(","))


class Topics(Text):
    """One ARN of a topic of Amazon SNS or more, comma-separated."""

    def parse(self, text: str) -> Mapping[str, str]:
        """Return the host of SNS by ARN."""
        found = [_TOPIC.fullmatch(each.strip()) for each in text.split(",")]
        if not all(found):
            raise ValueError(
                "has an entry that is not the ARN of a topic, such as arn:aws:sns:eu-west-1:123456789012:ses"
            )
        return {arn[0]: f"sns.{arn[2]}.{SNS_DOMAINS[arn[1]]}" for arn in found if arn}


def _secret(text: str) -> bytes:
    secret = b64decode(text.removeprefix(_PREFIX_OF_SECRETS), validate=True)
    if not text.startswith(_PREFIX_OF_SECRETS) or len(secret) < SHORTEST_TOKEN:
        raise ValueError
    return secret


def _public_key(text: str) -> EllipticCurvePublicKey:
    try:
        key = load_der_public_key(b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("has a key that is not base64 of a public key") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("has a key that is not of ECDSA with P-256")  # noqa: TRY004 - it becomes a line about a setting
    return key


@dataclass(frozen=True)
class CallbackSettings(ReceiverSettings):
    """The settings of the receiver of callbacks."""

    url: str
    bind: tuple[str, int]
    threads: int
    twilio_auth_token: tuple[str, ...] | None = field(repr=False)
    ses_topics: Mapping[str, str] | None
    sendgrid_webhook_key: tuple[EllipticCurvePublicKey, ...] | None
    mailgun_webhook_key: tuple[str, ...] | None = field(repr=False)
    postmark_webhook_login: tuple[str, ...] | None = field(repr=False)
    resend_webhook_secret: tuple[bytes, ...] | None = field(repr=False)
    brevo_webhook_login: tuple[str, ...] | None = field(repr=False)


class CallbackSettingsSchema(ReceiverSettingsSchema):
    """How they are read."""

    result: ClassVar[Callable[..., Any]] = CallbackSettings
    prefix: ClassVar = "CALLBACK_"

    url = CallbackBaseUrl(
        "CALLBACK_URL",
        "The address at which gateways and mail providers reach the receiver of callbacks: https, unless they are on"
        " this machine. The same for relays and receivers.",
        unit="URL",
        default=missing,
    )
    bind = Bind(
        "CALLBACK_BIND",
        "The address and port to listen on for callbacks.",
        unit="host:port",
        default=("127.0.0.1", 8006),
    )
    admin_bind = AdminBind("CALLBACK_ADMIN_BIND", port=8007)
    threads = Whole(
        "CALLBACK_THREADS",
        "Callbacks served at once, and connections to the database.",
        unit="threads",
        default=8,
        bounds=(2, 64),
    )
    twilio_auth_token = AuthTokens(
        "TWILIO_AUTH_TOKEN",
        "The auth token with which Twilio signs callbacks. Several, comma-separated, during a rotation. Without it,"
        " Twilio's callbacks are refused.",
        is_secret=True,
        default=None,
    )
    ses_topics = Topics(
        "SES_TOPICS",
        "The ARNs of the topics to which Amazon SES publishes events, comma-separated. Messages of other topics are"
        " refused.",
        default=None,
    )
    sendgrid_webhook_key = PublicKeys(
        "SENDGRID_WEBHOOK_KEY",
        "The verification key of SendGrid's signed event webhook. Several, comma-separated, during a rotation. Without"
        " it, SendGrid's events are refused.",
        default=None,
    )
    mailgun_webhook_key = AuthTokens(
        "MAILGUN_WEBHOOK_KEY",
        "Mailgun's HTTP webhook signing key. Several, comma-separated, during a rotation. Without it, Mailgun's events"
        " are refused.",
        is_secret=True,
        default=None,
    )
    postmark_webhook_login = Credentials(
        "POSTMARK_WEBHOOK_LOGIN",
        "The `user:password` in the URL of Postmark's webhook. Several, comma-separated, during a rotation. Without it,"
        " Postmark's events are refused.",
        is_secret=True,
        default=None,
    )
    resend_webhook_secret = SigningSecrets(
        "RESEND_WEBHOOK_SECRET",
        "The signing secret of Resend's webhook, `whsec_…`. Several, comma-separated, during a rotation. Without it,"
        " Resend's events are refused.",
        is_secret=True,
        default=None,
    )
    brevo_webhook_login = Credentials(
        "BREVO_WEBHOOK_LOGIN",
        "The `user:password` in the URL of Brevo's webhook. Several, comma-separated, during a rotation. Without it,"
        " Brevo's events are refused.",
        is_secret=True,
        default=None,
    )
