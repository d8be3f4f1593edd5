"""The command `outbox-relay`: the daemon, one drain, a check of the settings, test messages and previews."""

import signal
import sys

if sys.argv[1:2] == ["run"]:
    # The imports below take a second. A SIGHUP in this time would end the process, because the daemon does not handle
    # it yet. So SIGHUP is blocked.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

import asyncio
import os
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import click

from outbox_relay.bootstrap import providers_of, renderer_for, rendering_of
from outbox_relay.channels.base import Provider, ProviderDownError
from outbox_relay.daemon import run_daemon
from outbox_relay.failures.login_hints import explained
from outbox_relay.model import Failure, RenderedMessage, Sent
from outbox_relay.once import run_once
from outbox_relay.rendering.preview import SAMPLE_KEYS, fresh_activation
from outbox_relay.rendering.preview import preview as preview_of
from outbox_relay.settings import PreviewSettingsSchema, RelaySettings, RelaySettingsSchema
from shared.addresses import InvalidAddressError, canonical_phone, deliverable_email
from shared.command_line import EnumChoice, report_connections, version_option
from shared.log import configure_logging, get_logger
from shared.settings import SettingsError, check_tracing, exit_with_errors, report_checked
from shared.templates import TEMPLATES, Template
from shared.tracing import start_tracing
from shared.urls import host_and_port
from shared.vocabulary import Channel, Locale

SAMPLE_LIFE = timedelta(minutes=10)

log = get_logger("relay.cli")


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@version_option()
def main() -> None:
    """Group the commands."""


@main.command()
def run() -> None:
    """Deliver due messages until SIGTERM. SIGHUP reloads the settings that come from files."""
    settings = _settings()
    try:
        with _settings_errors_reported():
            start_tracing("outbox-relay", os.environ)
            asyncio.run(run_daemon(settings, _read))
    except OSError as error:
        # Only binding the health server's port raises OSError here: each component handles its own connections.
        log.error("relay cannot listen", bind=host_and_port(*settings.bind), error=error.strerror)  # noqa: TRY400 - no trace wanted
        sys.exit(1)
    except Exception:
        # Any other exception is a bug. The service manager restarts the process. The messages of this process become
        # due again when their leases end.
        log.exception("relay failed")
        sys.exit(1)


@main.command()
def once() -> None:
    """Deliver the messages that are due now, and exit. Exits 1 if any was deferred.

    Messages are deferred in these cases: no provider is up; the providers' rates are used up for longer than a few
    seconds; SECRET_KEYS lacks a key; the database fails for 20 seconds; SIGTERM or SIGINT. A message that is refused or
    will be retried does not count.
    """
    settings = _settings()
    with _settings_errors_reported():
        start_tracing("outbox-relay", os.environ)
        sys.exit(0 if asyncio.run(run_once(settings)) else 1)


@main.command("check-settings")
@click.option("--connect", is_flag=True, help="Also connect to the databases, and check each provider's login or key.")
def check_settings(*, connect: bool) -> None:
    """Report all errors in the settings and the theme, and exit. Exits 1 if a connection fails."""
    settings = _settings()
    with _settings_errors_reported():
        renderer_for(settings, settings.secret_keys)
    report_checked(RelaySettingsSchema())
    if connect:
        from outbox_relay.preflight import problems  # noqa: PLC0415 - the relay starts faster without aiohttp

        report_connections(problems(settings))


@main.command("send-test")
@click.argument("address")
@click.option("--channel", type=EnumChoice(Channel), help="Only needed if the address does not show it.")
def send_test(address: str, channel: Channel | None) -> None:
    """Send a sample message to ADDRESS through each provider, and print each result.

    It uses neither the outbox nor the database. Exits 1 if a provider did not accept the message.
    """
    channel = channel or (Channel.EMAIL if "@" in address else Channel.SMS)
    try:
        recipient = _deliverable(channel, address)
    except InvalidAddressError as error:
        raise click.BadParameter(str(error), param_hint="ADDRESS") from error
    results = asyncio.run(_send_samples(_settings(), channel, recipient))
    if not results:
        exit_with_errors(SettingsError([f"{channel.upper()}_PROVIDERS is not set: there is nothing to send through"]))
    for provider, result in results:
        click.echo(f"{provider}: {_result_text(provider, result)}")
    sys.exit(0 if all(isinstance(result, Sent) for _, result in results) else 1)


@main.command()
@click.argument("template", type=EnumChoice(TEMPLATES), metavar="TEMPLATE")
@click.option("--locale", type=EnumChoice(Locale), default=Locale.EN.value, show_default=True)
@click.option("--channel", type=EnumChoice(Channel), default=Channel.EMAIL.value, show_default=True)
@click.option("--name", default="Ada", show_default=True, help="The name to greet; may be empty.")
@click.option("--html", "wants_html", is_flag=True, help="The HTML of an e-mail instead of its text.")
@click.option("--output", type=click.File("w", encoding="utf-8"), default="-", help="A file instead of the terminal.")
@click.option("--open", "opens", is_flag=True, help="Show it in a browser.")
def preview(template: Template, locale: Locale, channel: Channel, name: str, **how: Any) -> None:
    """Render a message with sample values, without a database.

    EMAIL_FROM, PUBLIC_URL, BRAND_… and THEME_FOLDER apply as usual, each with a default. Standard error lists the
    sentences of all templates that have no translation.
    """
    with _settings_errors_reported():
        settings = PreviewSettingsSchema().read(os.environ)
        renderer = renderer_for(settings, SAMPLE_KEYS)
        shown = preview_of(renderer, template, channel, locale, name=name or None)
    for sentence in sorted(renderer.untranslated[locale]):
        click.echo(f"not translated ({locale}): {sentence}", err=True)
    how["output"].write(shown.html or shown.text if how["wants_html"] else shown.as_text())
    if how["opens"]:
        _open(shown.as_page())


class _SingleMessageSource:
    """A ``channels.base.MessageSource`` of one message, which stores its result."""

    def __init__(self, rendered: RenderedMessage) -> None:
        self._rendered: RenderedMessage | None = rendered
        self.result: Sent | Failure | None = None

    def take(self) -> RenderedMessage | None:
        """Return the message, once."""
        rendered, self._rendered = self._rendered, None
        return rendered

    def report(self, rendered: RenderedMessage, result: Sent | Failure) -> None:  # noqa: ARG002 - there is only one
        """Store the result."""
        self.result = result


async def _send_samples(settings: RelaySettings, channel: Channel, recipient: str) -> list[tuple[str, Sent | Failure]]:
    """Submit a sample activation message to each provider of the channel, in the configured order.

    The code and the link in it are not valid.
    """
    render, key_id = rendering_of(settings), settings.secret_keys.newest_id
    results = []
    for capped in providers_of(settings).get(channel, ()):
        sample = fresh_activation(channel, Locale.EN, key_id, life=SAMPLE_LIFE)._replace(recipient=recipient)
        rendered = RenderedMessage(sample, render(sample), taken_monotonic=0.0)
        results.append((capped.provider.name, await _deliver(capped.provider, rendered)))
    return results


async def _deliver(provider: Provider, rendered: RenderedMessage) -> Sent | Failure:
    source, session = _SingleMessageSource(rendered), provider.session()
    try:
        await session.deliver(source)
    except ProviderDownError as error:
        return source.result or error.failure
    finally:
        await session.close()
    if source.result is None:
        raise RuntimeError("the session has reported no result")
    return source.result


def _result_text(provider: str, result: Sent | Failure) -> str:
    match result:
        case Sent(provider_message_id=message_id):
            return f"accepted ({message_id})" if message_id else "accepted"
        case Failure(kind=kind, error=error):
            return f"not accepted, by a fault of the {kind}: {explained(provider, error)}"


def _deliverable(channel: Channel, address: str) -> str:
    """Return the address as the outbox would store it. Raises InvalidAddressError."""
    match channel:
        case Channel.EMAIL:
            return deliverable_email(address)
        case Channel.SMS if address.startswith("+"):
            return canonical_phone(address)
        case Channel.SMS:
            raise InvalidAddressError("not a phone number with its country code")


def _open(page: str) -> None:
    """Show a page in the user's browser ($BROWSER), from a temporary file that the system cleans up."""
    path = Path(mkdtemp(prefix="signpost-preview-")) / "preview.html"
    path.write_text(page, encoding="utf-8")
    if not webbrowser.open(path.as_uri()):
        raise click.ClickException(f"no browser was found; the page is {path}")


@contextmanager
def _settings_errors_reported() -> Iterator[None]:
    """Print the errors in settings or theme, and exit with 2."""
    try:
        yield
    except SettingsError as error:
        exit_with_errors(error)


def _settings() -> RelaySettings:
    with _settings_errors_reported():
        settings = _read()
    configure_logging("outbox-relay", settings.log_level)
    return settings


def _read() -> RelaySettings:
    check_tracing(os.environ)
    settings: RelaySettings = RelaySettingsSchema().read(os.environ)
    return settings
