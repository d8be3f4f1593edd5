"""E-mails over HTTPS: through a relay with eight connections, next to SMTP and to the client alone."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from operator import attrgetter

from bench.drain import drain_relays
from bench.https_sink import write_certificate
from bench.peer_runner import Drain
from bench.report import HTTPS_CPU, Report
from bench.rounds import Candidate, run_rounds
from bench.sample_mail import SENDER, rendered
from bench.testbed import CONNECTIONS, Testbed, wait_for_port
from devstack.ports import LOOPBACK, free_port
from devstack.processes import Program
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.model import Failure, RenderedMessage, Sent
from outbox_relay.rendering.preview import fresh_activation
from shared.vocabulary import Channel, Locale

ROUNDS = 3
MESSAGES, QUICK_MESSAGES = 10_000, 1_000
URLS = {
    "raw MIME": "https+mime://token@{at}/in?ca={ca}",
    "JSON, SendGrid's": "sendgrid://SG.key@api.sendgrid.com?endpoint=https://{at}&ca={ca}",
}


def https(testbed: Testbed, *, quick: bool) -> Report:
    """Measure a drain over HTTPS and over SMTP, and the HTTP client without a relay."""
    messages = QUICK_MESSAGES if quick else MESSAGES
    with https_sink(testbed) as place:
        urls = {name: url.format(**place) for name, url in URLS.items()}
        candidates = [Candidate("SMTP, without TLS", partial(drain_relays, testbed, 1, messages))]
        for name, url in urls.items():
            drain = partial(drain_relays, testbed, 1, messages, EMAIL_PROVIDERS=url)
            alone = partial(_submit_alone, url, messages)
            candidates += [Candidate(f"HTTPS, {name}", drain), Candidate(f"HTTPS, {name}, client alone", alone)]
        rounds = 1 if quick else ROUNDS
        run_rounds(candidates, rounds, attrgetter("rate"))
    figures = {
        one.name: {
            "messages/s": one.median(attrgetter("rate")),
            "CPU ms per message": one.median(attrgetter("cpu_per_thousand")),
        }
        for one in candidates
    }
    return {
        "each over HTTPS or SMTP": {"messages": messages, "connections": CONNECTIONS, "rounds": rounds},
        **figures,
        HTTPS_CPU: max(figures[f"HTTPS, {name}"]["CPU ms per message"] for name in URLS),
    }


@contextmanager
def https_sink(testbed: Testbed) -> Iterator[dict[str, str]]:
    """Run an HTTPS server that discards mail; yield its address and the file with its certificate."""
    port, certificate = free_port(), testbed.folder / "https-sink.pem"
    write_certificate(certificate)
    command = (sys.executable, "-m", "bench.https_sink", str(port), str(certificate))
    with testbed.running(Program("https-sink", command, {"PATH": os.environ["PATH"]})):
        wait_for_port(port)
        yield {"at": f"{LOOPBACK}:{port}", "ca": str(certificate)}


class _Messages:
    """A source of messages that all sessions share."""

    def __init__(self, count: int) -> None:
        sample = fresh_activation(Channel.EMAIL, Locale.EN, "bench")
        self._message = RenderedMessage(sample, rendered(Locale.EN)[0], taken_monotonic=0.0)
        self._left = count

    def take(self) -> RenderedMessage | None:
        """Return the sample until all are taken."""
        self._left -= 1
        return self._message if self._left >= 0 else None

    def report(self, _rendered: RenderedMessage, result: Sent | Failure) -> None:
        """Raise RuntimeError for a failure."""
        if not isinstance(result, Sent):
            raise RuntimeError(result.error)  # noqa: TRY004 - the type is right, the outcome is wrong


def _submit_alone(url: str, messages: int) -> Drain:
    return asyncio.run(_submit(url, messages))


async def _submit(url: str, messages: int) -> Drain:
    [capped] = providers_from(url, Channel.EMAIL, DeliveryContext(SENDER.address, timedelta(seconds=20)))
    source, sessions = _Messages(messages), [capped.provider.session() for _ in range(CONNECTIONS)]
    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(session.deliver(source) for session in sessions))
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - start
    for session in sessions:
        await session.close()
    return Drain(messages / seconds, cpu / messages * 1000, 0.0, 0.0)
