"""`outbox-relay`: the daemon, one drain, a check of the settings, a sample message, and a look at the messages."""

import signal
import sys

if sys.argv[1:2] == ["run"]:
    # To import what follows takes a second, in which a reload that is asked for would end the process: it is held back
    # until the daemon knows how.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

import asyncio
import os
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import click

from outbox_relay.bootstrap import renderer_for
from outbox_relay.daemon import run_daemon
from outbox_relay.once import run_once
from outbox_relay.rendering.preview import SAMPLE_KEYS
from outbox_relay.rendering.preview import preview as preview_of
from outbox_relay.send_test import channel_of, deliverable, send_test
from outbox_relay.settings import PreviewSettingsSchema, RelaySettings, RelaySettingsSchema
from shared.addresses import InvalidAddressError
from shared.command_line import EnumChoice
from shared.log import configure_logging, get_logger
from shared.settings import SettingsError, check_tracing, exit_with_faults
from shared.tracing import start_tracing
from shared.urls import host_and_port
from shared.vocabulary import Channel, Locale, Template

log = get_logger("relay.cli")


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""


@main.command()
def run() -> None:
    """Deliver what is due, until SIGTERM; SIGHUP reads again what settings come from files."""
    settings = _settings()
    try:
        with _reporting_faults():
            start_tracing("outbox-relay", os.environ)
            asyncio.run(run_daemon(settings, _read))
    except OSError as error:
        # Only the listener's own port raises one up to here: connections break inside their parts.
        log.error("relay cannot listen", bind=host_and_port(*settings.bind), error=error.strerror)  # noqa: TRY400 - no trace wanted
        sys.exit(1)
    except Exception:
        # A fault of ours. Whoever supervises the process starts it anew; what it held is due again by itself.
        log.exception("relay failed")
        sys.exit(1)


@main.command()
def once() -> None:
    """Deliver what is due now and leave; exits 1 if any of it had to be put off.

    So it is when no provider was up, when their rate is used up for longer than a few seconds, or when
    SECRET_KEYS lacks a key; when the database is away, or refuses, for 20 seconds from the first try that
    failed; and when SIGTERM or SIGINT came. A message refused or retried is its own affair.
    """
    settings = _settings()
    with _reporting_faults():
        start_tracing("outbox-relay", os.environ)
        sys.exit(0 if asyncio.run(run_once(settings)) else 1)


@main.command("check-settings")
def check_settings() -> None:
    """Report all errors in the settings and the theme, and exit."""
    settings = _settings()
    with _reporting_faults():
        renderer_for(settings, settings.secret_keys)
    click.echo("settings: all well")


@main.command("send-test")
@click.argument("address")
@click.option(
    "--channel", type=click.Choice([channel.value for channel in Channel]), help="If it is not plain from it."
)
def send_sample(address: str, channel: str | None) -> None:
    """Send a sample message to ADDRESS through each provider, and report each reply.

    Nothing of the outbox is touched. Exits 1 if a provider did not accept it.
    """
    way = Channel(channel) if channel else channel_of(address)
    try:
        recipient = deliverable(way, address)
    except InvalidAddressError as error:
        raise click.BadParameter(str(error), param_hint="ADDRESS") from error
    results = asyncio.run(send_test(_settings(), way, recipient))
    if not results:
        exit_with_faults(SettingsError([f"{way.upper()}_PROVIDERS is not set: there is nothing to send through"]))
    for result in results:
        click.echo(result)
    sys.exit(0 if all(result.is_sent for result in results) else 1)


@main.command()
@click.argument("template", type=EnumChoice(Template), metavar="TEMPLATE")
@click.option("--locale", type=EnumChoice(Locale), default=Locale.EN.value, show_default=True)
@click.option("--channel", type=EnumChoice(Channel), default=Channel.EMAIL.value, show_default=True)
@click.option("--name", default="Ada", show_default=True, help="Whom to greet; empty for nobody.")
@click.option("--html", "wants_html", is_flag=True, help="The HTML of an e-mail instead of its text.")
@click.option("--output", type=click.File("w", encoding="utf-8"), default="-", help="A file instead of the terminal.")
@click.option("--open", "opens", is_flag=True, help="Show it in a browser.")
def preview(template: Template, locale: Locale, channel: Channel, name: str, **how: Any) -> None:
    """Write a message with sample values, in the look that the environment describes; no database is needed.

    It is rendered like any other: by EMAIL_FROM, PUBLIC_URL, BRAND_… and THEME_FOLDER, each with a default.
    """
    with _reporting_faults():
        settings = PreviewSettingsSchema().read(os.environ)
        shown = preview_of(renderer_for(settings, SAMPLE_KEYS), template, channel, locale, name=name or None)
    how["output"].write(shown.html or shown.text if how["wants_html"] else shown.as_text())
    if how["opens"]:
        _open(shown.as_page())


def _open(page: str) -> None:
    """Show a page in the browser of whoever asks ($BROWSER), from a file that is left to the system to clean up."""
    path = Path(mkdtemp(prefix="signpost-preview-")) / "preview.html"
    path.write_text(page, encoding="utf-8")
    if not webbrowser.open(path.as_uri()):
        raise click.ClickException(f"no browser was found; the page is {path}")


@contextmanager
def _reporting_faults() -> Iterator[None]:
    """Report errors in the settings or the theme, and exit with status 2."""
    try:
        yield
    except SettingsError as error:
        exit_with_faults(error)


def _settings() -> RelaySettings:
    with _reporting_faults():
        settings = _read()
    configure_logging("outbox-relay", settings.log_level)
    return settings


def _read() -> RelaySettings:
    check_tracing(os.environ)
    settings: RelaySettings = RelaySettingsSchema().read(os.environ)
    return settings
