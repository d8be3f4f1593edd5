"""What is run and what each process is told: its own login to the database, and only what it needs."""

import base64
import os
import secrets
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devstack.cluster import Cluster
from devstack.ports import LOOPBACK, Ports
from devstack.processes import Program

KEPT_OF_OUR_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "LOGNAME")
DATABASE = "signpost"
OWNER = "postgres"


def fresh_keys() -> str:
    """Return SECRET_KEYS with one new key."""
    return f"devstack:{base64.b64encode(secrets.token_bytes(32)).decode()}"


@dataclass(frozen=True)
class EmailRoute:
    """Where the relay sends e-mails and which sender they have; None means the inbox and its sender."""

    providers: str | None = None
    sender: str | None = None


TO_THE_INBOX = EmailRoute()


@dataclass(frozen=True)
class Programs:
    """The programs of one stack, which has secrets of its own and keeps what it needs in ``folder``."""

    ports: Ports
    folder: Path
    cluster: Cluster
    email: EmailRoute = TO_THE_INBOX
    secret_keys: str = field(default_factory=fresh_keys, repr=False)
    sms_token: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    @property
    def api_url(self) -> str:
        """Where clients go, and where links in messages point."""
        return f"http://{LOOPBACK}:{self.ports.api}"

    @property
    def relay_url(self) -> str:
        """Where the relay's health and metrics are."""
        return f"http://{LOOPBACK}:{self.ports.relay}"

    @property
    def console_url(self) -> str:
        """Where operators look and act."""
        return f"http://{LOOPBACK}:{self.ports.console}"

    @property
    def inbox_url(self) -> str:
        """Where what arrived can be read."""
        return f"http://{LOOPBACK}:{self.ports.inbox_http}"

    def migrate(self) -> Program:
        """Bring the database up to date, as its owner."""
        return Program("migrate", _script("api-service", "migrate"), self._told(OWNER))

    def api(self) -> Program:
        """Serve clients."""
        environment = self._told(
            "api",
            SECRET_KEYS=self.secret_keys,
            PUBLIC_URL=self.api_url,
            API_BIND=f"{LOOPBACK}:{self.ports.api}",
            API_WORKERS="2",
            RESEND_COOLDOWN_SECONDS="1",
            RATE_LIMITS="off",
        )
        return Program("api-service", _script("api-service", "serve"), environment, f"{self.api_url}/readyz")

    def relay(self) -> Program:
        """Deliver what is due, to the inbox."""
        environment = self._told(
            "relay",
            SECRET_KEYS=self.secret_keys,
            PUBLIC_URL=self.api_url,
            EMAIL_FROM=self.email.sender or "Signpost <no-reply@signpost.example>",
            EMAIL_PROVIDERS=self.email.providers or f"smtp://{LOOPBACK}:{self.ports.inbox_smtp}?tls=none",
            SMS_PROVIDERS=f"http+json://{self.sms_token}@{LOOPBACK}:{self.ports.inbox_http}/sms",
            RELAY_BIND=f"{LOOPBACK}:{self.ports.relay}",
            RELAY_POLL_SECONDS="1",
        )
        return Program("outbox-relay", _script("outbox-relay", "run"), environment, f"{self.relay_url}/readyz")

    def inbox(self) -> Program:
        """Take mail and SMS in."""
        options = (
            f"--smtp-port={self.ports.inbox_smtp}",
            f"--http-port={self.ports.inbox_http}",
            f"--folder={self.folder / 'inbox'}",
        )
        environment = _ours() | {"INBOX_SMS_TOKEN": self.sms_token}
        return Program("inbox", _script("devstack", "inbox", *options), environment, f"{self.inbox_url}/messages.json")

    def console(self) -> Program:
        """Serve operators."""
        environment = self._told(
            "console", CONSOLE_BIND=f"{LOOPBACK}:{self.ports.console}", CONSOLE_URL=self.console_url
        )
        command = _script("operator-console", "serve")
        return Program("operator-console", command, environment, f"{self.console_url}/readyz")

    def outboxctl(self, *arguments: str, login: str = "console") -> Program:
        """Look and act as an operator."""
        return Program("outboxctl", _script("outboxctl", *arguments), self._told(login))

    def _told(self, login: str, **settings: str) -> Mapping[str, str]:
        return _ours() | {"DATABASE_URL": self.cluster.url(DATABASE, login)} | settings


def _ours() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT_OF_OUR_ENVIRONMENT if name in os.environ}


def _script(name: str, *arguments: str) -> tuple[str, ...]:
    return (str(Path(sysconfig.get_path("scripts")) / name), *arguments)
