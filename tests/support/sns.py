"""Amazon SNS on this machine: messages signed with a certificate, its HTTPS server, and a proxy that leads there.

The receiver connects to ``sns.eu-west-1.amazonaws.com`` through the proxy of HTTPS_PROXY, so its own code decides which
hosts it asks for. The server's certificate is for that name.
"""

import json
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.certificates import Authority

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
SNS_HOST = "sns.eu-west-1.amazonaws.com"
CERTIFICATE_URL = f"https://{SNS_HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
TOKEN = "2336412f37"
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


@dataclass(frozen=True)
class Signer:
    """A key of SNS and its certificate, which is valid for ``days`` from yesterday."""

    days: int = 3

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def certificate(self) -> bytes:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
        begin = datetime.now(UTC) - timedelta(days=2)
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
        valid = builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=self.days))
        return valid.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def notification(self, event: object, **changed: Any) -> dict[str, Any]:
        """Return a signed notification. A text is sent as it is."""
        message = event if isinstance(event, str) else json.dumps(event)
        return self.signed({"Type": "Notification", "Message": message} | changed, _NOTIFICATION)

    def confirmation(self, kind: str = "SubscriptionConfirmation", **changed: Any) -> dict[str, Any]:
        """Return a signed message that asks for the confirmation of a subscription."""
        url = f"https://{SNS_HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={TOKEN}"
        message = {"Type": kind, "Message": "You have chosen to subscribe", "SubscribeURL": url, "Token": TOKEN}
        return self.signed(message | changed, _CONFIRMATION)

    def signed(self, message: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        """Add the missing members and the signature, as the developer guide of SNS describes them."""
        message = {
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE_URL,
        } | message
        text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
        digest = SHA256() if message["SignatureVersion"] == "2" else SHA1()
        return message | {"Signature": b64encode(self.key.sign(text.encode(), PKCS1v15(), digest)).decode()}


@dataclass
class LocalSns:
    """The server. ``status``, ``body`` and ``headers`` are its replies to requests for certificates."""

    signer: Signer
    environment: dict[str, str] = field(default_factory=dict)
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    confirming: int = 200
    requests: list[str] = field(default_factory=list)
    connected_to: list[str] = field(default_factory=list)
    holds: threading.Event | None = None

    def confirmed(self) -> list[dict[str, str]]:
        """Return the parameters of each confirmation."""
        return [dict(parse_qsl(urlsplit(path).query)) for path in self.requests if path.startswith("/?")]


@contextmanager
def local_sns(authority: Authority) -> Iterator[LocalSns]:
    """Serve, with the environment that a receiver needs to get there."""
    signer = Signer()
    sns = LocalSns(signer, body=signer.certificate)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sns.requests.append(self.path)
            is_confirmation = self.path.startswith("/?")
            if sns.holds and not is_confirmation:
                sns.holds.wait(60)
            body = b"<ConfirmSubscriptionResponse/>" if is_confirmation else sns.body
            self.send_response(sns.confirming if is_confirmation else sns.status)
            for name, value in ({} if is_confirmation else sns.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # the receiver stops reading a long body
                self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with _serving(Handler, authority.server_context(f"DNS:{SNS_HOST}")) as port, _proxy(sns, port) as proxy:
        sns.environment |= {
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy}",
            "SSL_CERT_FILE": str(authority.file),
        }
        yield sns


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def _proxy(sns: LocalSns, port: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            sns.connected_to.append(self.path)
            with socket.create_connection(("127.0.0.1", port)) as far:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pump, args=(far, self.connection))
                back.start()
                _pump(self.connection, far)
                back.join()

        def log_message(self, *_arguments: object) -> None:
            pass

    with _serving(Handler) as own:
        yield own


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
