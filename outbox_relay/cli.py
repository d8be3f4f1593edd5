"""`outbox-relay`: the daemon, one drain, a sample message, and a check of the settings."""

import asyncio
import os
import sys

import click

from outbox_relay.daemon import run_daemon, run_once
from outbox_relay.send_test import channel_of, deliverable, send_test
from outbox_relay.settings import RelaySettings, RelaySettingsSchema
from shared.addresses import InvalidAddressError
from shared.log import configure_logging, get_logger
from shared.settings import SettingsError, exit_telling
from shared.vocabulary import Channel

log = get_logger("relay.cli")


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""


@main.command()
def run() -> None:
    """Deliver what is due, until SIGTERM; SIGHUP reads again what settings come from files."""
    settings = _settings()
    try:
        asyncio.run(run_daemon(settings, _read))
    except OSError as error:
        # Only the listener's own port raises one up to here: connections break inside their parts.
        log.error("relay cannot listen", bind=f"{settings.bind[0]}:{settings.bind[1]}", error=error.strerror)  # noqa: TRY400 - no trace wanted
        sys.exit(1)
    except Exception:
        # A fault of ours. Whoever supervises the process starts it anew; what it held is due again by itself.
        log.exception("relay failed")
        sys.exit(1)


@main.command()
def once() -> None:
    """Deliver what is due now and leave; exits 1 if any of it had to be put off.

    So it is when no provider was up, when their rate is used up for longer than a few seconds, or when
    SECRET_KEYS lacks a key. A message refused or retried is its own affair.
    """
    settings = _settings()
    sys.exit(0 if asyncio.run(run_once(settings)) else 1)


@main.command("check-settings")
def check_settings() -> None:
    """Tell everything that is wrong with the settings, and leave."""
    _settings()
    click.echo("settings: all well")


@main.command("send-test")
@click.argument("address")
@click.option(
    "--channel", type=click.Choice([channel.value for channel in Channel]), help="If it is not plain from it."
)
def send_sample(address: str, channel: str | None) -> None:
    """Send a sample message to ADDRESS through each provider, and tell what each said.

    Nothing of the outbox is touched. Exits 1 if a provider did not accept it.
    """
    way = Channel(channel) if channel else channel_of(address)
    try:
        recipient = deliverable(way, address)
    except InvalidAddressError as error:
        raise click.BadParameter(str(error), param_hint="ADDRESS") from error
    verdicts = asyncio.run(send_test(_settings(), way, recipient))
    if not verdicts:
        exit_telling(SettingsError([f"{way.upper()}_PROVIDERS is not set: there is nothing to send through"]))
    for verdict in verdicts:
        click.echo(verdict)
    sys.exit(0 if all(verdict.is_sent for verdict in verdicts) else 1)


def _settings() -> RelaySettings:
    try:
        settings = _read()
    except SettingsError as error:
        exit_telling(error)
    configure_logging("outbox-relay", settings.log_level)
    return settings


def _read() -> RelaySettings:
    settings: RelaySettings = RelaySettingsSchema().read(os.environ)
    return settings
