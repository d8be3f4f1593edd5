"""django-post-office: its command with one process per core, threads and large batches. It has no daemon."""

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import django
from django.conf import settings
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend
from django.core.management import call_command

from bench.peers.harness import NOOP, SEND, Enqueue, config, handled, main, recipient, texts
from bench.peers.sending import HOST

PROCESSES, THREADS, BATCH = len(os.sched_getaffinity(0)), 8, 500


class Smtp(EmailBackend):  # type: ignore[misc]  # Django is not installed where types are checked
    """Django's own SMTP backend, with counting."""

    def send_messages(self, messages: Sequence[Any]) -> int:
        """Send, then count."""
        sent: int = super().send_messages(messages)
        handled()
        return sent


class Noop(BaseEmailBackend):  # type: ignore[misc]  # Django is not installed where types are checked
    """A backend that only counts."""

    def send_messages(self, messages: Sequence[Any]) -> int:
        """Count."""
        handled()
        return len(messages)


BACKENDS = {SEND: Smtp, NOOP: Noop}


def set_up() -> None:
    """Configure Django with as little as possible."""
    # Enqueueing runs in an event loop like that of other peers, alone, so that blocking it does no harm.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"]}
    settings.configure(
        DATABASES={"default": database | {"OPTIONS": {"user": os.environ["PGUSER"]}}},
        INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
        EMAIL_HOST=HOST,
        EMAIL_PORT=config().smtp_port,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        USE_TZ=True,
        LOGGING_CONFIG=None,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        POST_OFFICE={
            "BACKENDS": {"default": f"bench.peers.django_post_office.{BACKENDS[config().handler].__name__}"},
            "BATCH_SIZE": BATCH,
            "THREADS_PER_PROCESS": THREADS,
            "LOG_LEVEL": 0,
            "LOCK_FILE_NAME": f"{os.environ['HOME']}/post_office",
        },
    )
    django.setup()


def install() -> None:
    """Create its tables."""
    call_command("migrate", verbosity=0)


@asynccontextmanager
async def client() -> AsyncIterator[Enqueue]:
    """Enqueue many rendered mails at once."""
    from post_office.mail import send_many  # noqa: PLC0415 - its models can only be imported after django.setup()

    async def enqueue(numbers: Sequence[int]) -> None:
        send_many([_message(number) for number in numbers])

    yield enqueue


def _message(number: int) -> dict[str, Any]:
    content = texts(number)
    return {
        "sender": config().sender,
        "recipients": [recipient(number)],
        "subject": content["subject"],
        "message": content["text"],
        "html_message": content["html"],
    }


def work() -> None:
    """Deliver everything, then wait for SIGTERM."""
    call_command("send_queued_mail", processes=PROCESSES, log_level=0)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    set_up()
    main(client=client, work=work, install=install)
