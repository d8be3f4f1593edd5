"""The receiver of callbacks, in this process or in its own, and the URLs that gateways call."""

import base64
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import psycopg

from receiver.callbacks.app import CallbackApp, create_app
from receiver.callbacks.settings import CallbackSettingsSchema
from shared.reports.return_paths import Gateway, callback_url
from tests.support import plain_http
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.processes import Running, running

FEEDBACK_KEY = b"f" * 32
FEEDBACK_KEYS = f"new:{base64.b64encode(FEEDBACK_KEY).decode()},old:{base64.b64encode(b'o' * 32).decode()}"
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
BASE = "https://callbacks.signpost.example"
NUMBER = "+33612345678"


@dataclass(frozen=True)
class RunningReceiver(Running):
    """A receiver that listens on a free port of loopback."""

    @property
    def base_url(self) -> str:
        [listening] = [line for line in self.log_lines() if line["event"] == "callbacks listening"]
        return str(listening["bind"][0])

    def responds(self) -> bool:
        with suppress(OSError, ValueError, httpx.TransportError):
            return plain_http.get(f"{self.base_url}/", timeout=5).status_code == 404
        return False

    def admin(self, path: str) -> httpx.Response:
        """Request a path of the admin listener."""
        return plain_http.get(f"http://{self.admin_bind}{path}", timeout=30)


def receiver_settings(database: Database, **settings: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database.receiver_url,
        "FEEDBACK_KEYS": FEEDBACK_KEYS,
        "CALLBACK_URL": BASE,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    } | settings


@contextmanager
def callback_app(database: Database, **settings: str) -> Iterator[CallbackApp]:
    app = create_app(CallbackSettingsSchema().read(receiver_settings(database, **settings)))
    yield app
    app.close()


@contextmanager
def running_receiver(database: Database, *, bind: str = "127.0.0.1:0", **settings: str) -> Iterator[RunningReceiver]:
    """Run the receiver over that database, and wait until it responds."""
    binds = {"CALLBACK_BIND": bind, "CALLBACK_ADMIN_BIND": "127.0.0.1:0"}
    environment = receiver_settings(database, **binds, **settings)
    with running(("signpost-receiver", "callbacks"), environment) as started:
        receiver = RunningReceiver(started.process, started.log_path)
        eventually(receiver.responds, seconds=60)
        yield receiver


def url_for(gateway: Gateway, message_id: UUID, *, base: str = BASE, key: bytes = FEEDBACK_KEY) -> str:
    return callback_url(base, gateway, message_id, NUMBER, key)


def path_for(gateway: Gateway, message_id: UUID, *, key: bytes = FEEDBACK_KEY) -> str:
    return urlsplit(url_for(gateway, message_id, key=key)).path


def twilio_signature(url: str, form: Mapping[str, str], token: str = AUTH_TOKEN) -> dict[str, str]:
    """Return the header, computed as https://www.twilio.com/docs/usage/security describes."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    digest = hmac.digest(token.encode(), signed.encode(), "sha1")
    return {"X-Twilio-Signature": base64.b64encode(digest).decode()}


def reports(database: Database, columns: str = "kind, cause, is_permanent, status_code") -> list[tuple[Any, ...]]:
    """Return the stored reports, in the order in which they arrived."""
    with database.connect() as connection:
        return connection.execute(f"select {columns} from delivery_reports order by received_at, id").fetchall()


def report_count(connection: psycopg.Connection) -> int:
    [(number,)] = connection.execute("select count(*) from delivery_reports").fetchall()
    return int(number)
