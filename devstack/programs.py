"""The programs of a stack. Each has its own database login, and only the settings that it needs."""

import base64
import os
import secrets
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devstack.cluster import Cluster
from devstack.logins import ORGANIZER
from devstack.ports import LOOPBACK, Ports
from devstack.processes import Program

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "LOGNAME")
DATABASE = "signpost"
OWNER = "postgres"


def fresh_keys() -> str:
    """Return a value of SECRET_KEYS, FEEDBACK_KEYS or ORGANIZATION_KEYS with one new key."""
    return f"devstack:{base64.b64encode(secrets.token_bytes(32)).decode()}"


@dataclass(frozen=True)
class EmailRoute:
    """The provider and the sender of e-mails; None for the inbox."""

    providers: str | None = None
    sender: str | None = None


TO_THE_INBOX = EmailRoute()


@dataclass(frozen=True)
class Programs:
    """The programs of one stack, with its secrets. Their files are in ``folder``."""

    ports: Ports
    folder: Path
    cluster: Cluster
    email: EmailRoute = TO_THE_INBOX
    profile_schema: Path | None = None
    organization_migrations: str | None = None
    secret_keys: str = field(default_factory=fresh_keys, repr=False)
    feedback_keys: str = field(default_factory=fresh_keys, repr=False)
    organization_keys: str = field(default_factory=fresh_keys, repr=False)
    sms_token: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    @property
    def api_url(self) -> str:
        """The API's URL, for clients and for links in messages."""
        return f"http://{LOOPBACK}:{self.ports.api}"

    @property
    def relay_url(self) -> str:
        """The URL of the relay's health and metrics."""
        return f"http://{LOOPBACK}:{self.ports.relay}"

    @property
    def console_url(self) -> str:
        """The console's URL, for operators."""
        return f"http://{LOOPBACK}:{self.ports.console}"

    @property
    def inbox_url(self) -> str:
        """The URL of the inbox's pages."""
        return f"http://{LOOPBACK}:{self.ports.inbox_http}"

    @property
    def operators_database_url(self) -> str:
        """The database's URL for outboxctl, without a schema owner's rights."""
        return self.cluster.url(DATABASE, "console")

    @property
    def owners_psql_settings(self) -> str:
        """The variables with which psql connects as the schema's owner, as a shell reads them."""
        return f"PGHOST='{self.cluster.folder}' PGPORT={self.cluster.port} PGUSER={OWNER} PGDATABASE={DATABASE}"

    def migrate(self) -> Program:
        """Migrate the database, as its owner."""
        return Program("migrate", _script("api-service", "migrate"), self._environment(OWNER))

    def api(self) -> Program:
        """Run the API."""
        environment = self._environment(
            "api",
            SECRET_KEYS=self.secret_keys,
            PUBLIC_URL=self.api_url,
            API_BIND=f"{LOOPBACK}:{self.ports.api}",
            API_ADMIN_BIND=f"{LOOPBACK}:{self.ports.api_admin}",
            API_WORKERS="2",
            RESEND_COOLDOWN_SECONDS="1",
            RATE_LIMITS="off",
            PROFILE_SCHEMA=str(self.profile_schema or ""),
            ORGANIZATIONS="after_activation" if self.organization_migrations else "off",
        )
        return Program(
            "api-service",
            _script("api-service", "serve"),
            environment,
            f"http://{LOOPBACK}:{self.ports.api_admin}/readyz",
        )

    def relay(self) -> Program:
        """Run the relay, which delivers to the inbox."""
        environment = self._environment(
            "relay",
            SECRET_KEYS=self.secret_keys,
            FEEDBACK_KEYS=self.feedback_keys,
            PUBLIC_URL=self.api_url,
            EMAIL_FROM=self.email.sender or "Signpost <no-reply@signpost.example>",
            EMAIL_PROVIDERS=self.email.providers or f"smtp://{LOOPBACK}:{self.ports.inbox_smtp}?tls=none",
            SMS_PROVIDERS=f"http+json://{self.sms_token}@{LOOPBACK}:{self.ports.inbox_http}/sms",
            RELAY_BIND=f"{LOOPBACK}:{self.ports.relay}",
            RELAY_POLL_SECONDS="1",
            **self._provisioning(),
        )
        return Program("outbox-relay", _script("outbox-relay", "run"), environment, f"{self.relay_url}/readyz")

    def inbox(self) -> Program:
        """Run the inbox, for e-mails and SMS."""
        options = (
            f"--smtp-port={self.ports.inbox_smtp}",
            f"--http-port={self.ports.inbox_http}",
            f"--folder={self.folder / 'inbox'}",
        )
        environment = _passed_on() | {"INBOX_SMS_TOKEN": self.sms_token}
        return Program("inbox", _script("devstack", "inbox", *options), environment, f"{self.inbox_url}/messages.json")

    def console(self) -> Program:
        """Run the console."""
        environment = self._environment(
            "console",
            FEEDBACK_KEYS=self.feedback_keys,
            CONSOLE_BIND=f"{LOOPBACK}:{self.ports.console}",
            CONSOLE_ADMIN_BIND=f"{LOOPBACK}:{self.ports.console_admin}",
            CONSOLE_URL=self.console_url,
            ORGANIZATION_KEYS=self.organization_keys,
        )
        command = _script("operator-console", "serve")
        return Program("operator-console", command, environment, f"http://{LOOPBACK}:{self.ports.console_admin}/readyz")

    def outboxctl(self, *arguments: str, login: str = "console") -> Program:
        """Run an operator's command."""
        return Program("outboxctl", _script("outboxctl", *arguments), self._environment(login))

    def _provisioning(self) -> dict[str, str]:
        if self.organization_migrations is None:
            return {}
        return {
            "PROVISION_DATABASE_URL": self.cluster.url("postgres", ORGANIZER),
            "ORGANIZATION_MIGRATIONS": self.organization_migrations,
            "ORGANIZATION_KEYS": self.organization_keys,
        }

    def _environment(self, login: str, **settings: str) -> Mapping[str, str]:
        return _passed_on() | {"DATABASE_URL": self.cluster.url(DATABASE, login)} | settings


def _passed_on() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _script(name: str, *arguments: str) -> tuple[str, ...]:
    return (str(Path(sysconfig.get_path("scripts")) / name), *arguments)
