"""django-post-office: its command with a process for each core, threads and large batches; no daemon, so no trickle."""

import os
import time
from collections.abc import Sequence
from typing import Any

import django
from django.conf import settings
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend
from django.core.management import call_command

from bench.peers.errand import Form, act, errand, handled, recipient, words_for
from bench.peers.sending import HOST, send_prepared

CORES = len(os.sched_getaffinity(0))
THREADS = 8
BATCH = 500
FILL_AT_ONCE = 1_000


class Counted(EmailBackend):  # type: ignore[misc]  # Django is not installed where types are checked
    """Django's own SMTP sender, counted."""

    def send_messages(self, messages: Sequence[Any]) -> int:
        """Send, then count."""
        sent: int = super().send_messages(messages)
        handled(0)
        return sent


class Prepared(BaseEmailBackend):  # type: ignore[misc]  # Django is not installed where types are checked
    """Sends the prepared mail by the relay's sender."""

    def send_messages(self, messages: Sequence[Any]) -> int:
        """Send another mail in place of these, then count."""
        send_prepared()
        handled(0)
        return len(messages)


class Nothing(BaseEmailBackend):  # type: ignore[misc]  # Django is not installed where types are checked
    """Sends nothing."""

    def send_messages(self, messages: Sequence[Any]) -> int:
        """Count."""
        handled(0)
        return len(messages)


BACKENDS = {Form.USUAL: "Counted", Form.PREPARED: "Prepared", Form.NOTHING: "Nothing"}


def set_up() -> None:
    """Configure Django as little as it takes."""
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"]}
    settings.configure(
        DATABASES={"default": database | {"OPTIONS": {"user": os.environ["PGUSER"]}}},
        INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
        EMAIL_HOST=HOST,
        EMAIL_PORT=errand().smtp_port,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        USE_TZ=True,
        LOGGING_CONFIG=None,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        POST_OFFICE={
            "BACKENDS": {"default": f"bench.peers.django_post_office.{BACKENDS[errand().form]}"},
            "BATCH_SIZE": BATCH,
            "THREADS_PER_PROCESS": THREADS,
            "LOG_LEVEL": 0,
            "LOCK_FILE_NAME": str(errand().folder / "post_office"),
        },
    )
    django.setup()


def fill(count: int) -> None:
    """Enqueue many at once, already rendered."""
    from post_office import mail  # noqa: PLC0415 - its models can only be imported once Django is set up

    for start in range(0, count, FILL_AT_ONCE):
        mail.send_many([_message(number) for number in range(start, min(count, start + FILL_AT_ONCE))])


def _message(number: int) -> dict[str, Any]:
    words = words_for(number)
    return {
        "sender": errand().sender,
        "recipients": [recipient(number)],
        "subject": words.subject,
        "message": words.text,
        "html_message": words.html,
    }


def work() -> None:
    """Deliver all there is, and wait to be ended."""
    call_command("send_queued_mail", processes=CORES, log_level=0)
    while True:
        time.sleep(1)


def install() -> None:
    """Make its tables."""
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    set_up()
    act(install=install, fill=fill, work=work)
