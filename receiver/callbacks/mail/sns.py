"""Amazon SNS over HTTPS: the signatures of its messages, and the confirmation of subscriptions.

Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html,
https://docs.aws.amazon.com/sns/latest/dg/http-subscription-confirmation-json.html and
https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html.

The receiver sends requests only to the host of an allowed topic. No part of a URL comes from a message, except the file
name of a certificate and the token of a subscription, in forms that are checked.
"""

import re
import ssl
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from threading import Lock
from typing import Any
from urllib.parse import urlencode

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from receiver.callbacks.mail.events import text_at, time_of
from receiver.callbacks.mail.signatures import LONGEST_AGE_SECONDS, check_age
from receiver.callbacks.problems import SnsUnavailableError, WrongSignatureError, WrongTopicError

LONGEST_REPEATED_SECONDS = 3600 + LONGEST_AGE_SECONDS
"""The signed time is that of the first attempt, and SNS repeats a message to HTTPS for an hour at most."""
FETCH_SECONDS = 5.0
LONGEST_RESPONSE_BYTES = 16 * 1024
"""A certificate has about 2 KiB."""
MOST_CERTIFICATES = 16
SIGNATURE_VERSION = "2"
"""SHA-256. Version 1 is SHA-1, for which collisions can be computed."""

NO_SUCH_FILE = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
_CERTIFICATE = re.compile(r"https://(?P<host>[a-z0-9.-]+)/SimpleNotificationService-[0-9a-f]{1,64}\.pem", re.ASCII)


class Kind(StrEnum):
    """The types of messages."""

    NOTIFICATION = "Notification"
    SUBSCRIPTION = "SubscriptionConfirmation"
    UNSUBSCRIPTION = "UnsubscribeConfirmation"


_SIGNED = {
    Kind.NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    **dict.fromkeys(
        (Kind.SUBSCRIPTION, Kind.UNSUBSCRIPTION),
        ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}


class Sns:
    """The allowed topics, as the hosts of SNS by ARN. Threads share it."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self._hosts = hosts
        self._certificates: dict[str, x509.Certificate] = {}
        self._fetching = Lock()

    def check(self, message: dict[str, Any], now: float) -> str:
        """Return the message's topic.

        Raises WrongTopicError, StaleSignatureError, WrongSignatureError, or SnsUnavailableError if the certificate
        cannot be fetched now.
        """
        topic = text_at(message, "TopicArn")
        if topic not in self._hosts:
            raise WrongTopicError
        sent_at, signed = time_of(message.get("Timestamp")), _signed_text(message)
        if sent_at is None or signed is None or message.get("SignatureVersion") != SIGNATURE_VERSION:
            raise WrongSignatureError
        check_age(sent_at.timestamp(), now, LONGEST_REPEATED_SECONDS)
        certificate = self._certificate(text_at(message, "SigningCertURL"), self._hosts[topic])
        key, at = certificate.public_key(), datetime.fromtimestamp(now, UTC)
        is_valid = certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc
        if not is_valid or not isinstance(key, RSAPublicKey):
            raise WrongSignatureError
        try:
            key.verify(b64decode(text_at(message, "Signature")), signed.encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise WrongSignatureError from None
        return topic

    def confirm(self, message: dict[str, Any]) -> None:
        """Confirm the subscription of a message that was checked. Raises SnsUnavailableError.

        The URL is SubscribeURL, made from its parts.
        """
        topic = text_at(message, "TopicArn")
        query = urlencode({"Action": "ConfirmSubscription", "TopicArn": topic, "Token": text_at(message, "Token")})
        status, _ = _get(f"https://{self._hosts[topic]}/?{query}")
        if status != HTTPStatus.OK:
            raise SnsUnavailableError

    def _certificate(self, url: str, host: str) -> x509.Certificate:
        found = _CERTIFICATE.fullmatch(url)
        if found is None or found["host"] != host:
            raise WrongSignatureError
        known = self._certificates.get(url)
        if known:
            return known
        # One at a time: forged messages must not occupy all threads. SNS repeats the others.
        if not self._fetching.acquire(blocking=False):
            raise SnsUnavailableError
        try:
            fetched = _fetch_certificate(url)
            if len(self._certificates) >= MOST_CERTIFICATES:
                self._certificates.clear()
            self._certificates[url] = fetched
        finally:
            self._fetching.release()
        return fetched


def _signed_text(message: dict[str, Any]) -> str | None:
    """Return the signed text, or None if a field is missing."""
    try:
        names = _SIGNED[Kind(text_at(message, "Type"))]
    except ValueError:
        return None
    fields = {name: message[name] for name in names if name in message}
    if set(names) - {"Subject"} - set(fields) or not all(isinstance(value, str) for value in fields.values()):
        return None
    return "".join(f"{name}\n{value}\n" for name, value in fields.items())


def _fetch_certificate(url: str) -> x509.Certificate:
    """Return the certificate. TLS authenticates the host, and so the certificate."""
    status, body = _get(url)
    if status in NO_SUCH_FILE:
        raise WrongSignatureError
    if status != HTTPStatus.OK:
        raise SnsUnavailableError
    try:
        return x509.load_pem_x509_certificate(body)
    except ValueError:
        raise WrongSignatureError from None


def _get(url: str) -> tuple[int, bytes]:
    """Return status and body, without following a redirect. Raises SnsUnavailableError."""
    body = b""
    try:
        with (
            httpx.Client(verify=ssl.create_default_context(), timeout=FETCH_SECONDS) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > LONGEST_RESPONSE_BYTES:
                    raise SnsUnavailableError
            return response.status_code, body
    except httpx.HTTPError:
        raise SnsUnavailableError from None
