"""The command line: ``devstack demo`` runs a checked demo, ``devstack up`` leaves a stack running."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from devstack.cluster import ClusterError
from devstack.inbox.process import InboxSettings, run_inbox
from devstack.ports import FRIENDLY, free_ports
from devstack.processes import ProcessError
from devstack.programs import EmailRoute
from devstack.stack import Stack, running_stack
from devstack.story import STORY, run_story
from shared.command_line import version_option
from shared.log import configure_logging


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@version_option()
def main() -> None:
    """Run Signpost on this machine: PostgreSQL, the services as real processes, and an inbox."""


@main.command()
def demo() -> None:
    """Run a demo that checks each step, and stop everything. Exits with 1 if a step fails."""
    console = Console()
    started = time.perf_counter()
    with _orderly_end():
        console.print("Starting PostgreSQL, the services and an inbox …")
        with running_stack(free_ports()) as stack:
            console.print(f"Ready after {time.perf_counter() - started:.1f} s.\n", highlight=False)
            has_passed = run_story(STORY, stack, console)
    if not has_passed:
        sys.exit(1)
    console.print("\nEvery step succeeded.")


@main.command()
@click.option(
    "--email-providers",
    envvar="EMAIL_PROVIDERS",
    show_envvar=True,
    help="Providers to use instead of the inbox.",
)
@click.option("--email-from", envvar="EMAIL_FROM", show_envvar=True, help="A sender that these providers accept.")
@click.option(
    "--profile-schema",
    envvar="PROFILE_SCHEMA",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="The file with the JSON Schema of users' own fields.",
)
@click.option(
    "--organization-migrations",
    envvar="ORGANIZATION_MIGRATIONS",
    show_envvar=True,
    help="The migrations of organizations' databases. With them, registrations can found organizations.",
)
def up(
    email_providers: str | None,
    email_from: str | None,
    profile_schema: Path | None,
    organization_migrations: str | None,
) -> None:
    """Run a stack until Ctrl-C."""
    console, email = Console(), EmailRoute(email_providers, email_from)
    with _orderly_end():
        try:
            console.print("Starting PostgreSQL, the services and an inbox …")
            with running_stack(free_ports(FRIENDLY), email, profile_schema, organization_migrations) as stack:
                console.print(_welcome(stack), markup=False, highlight=False, soft_wrap=True)
                stack.watch()
        except KeyboardInterrupt:
            console.print("\nStopped.")


@main.command()
@click.option(
    "--smtp-port",
    type=int,
    default=FRIENDLY.inbox_smtp,
    show_default=True,
    help="For mail; 0 means any free port.",
)
@click.option(
    "--http-port",
    type=int,
    default=FRIENDLY.inbox_http,
    show_default=True,
    help="For SMS and pages; 0 means any free port.",
)
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="The folder for received messages.")
@click.option(
    "--sms-token", envvar="INBOX_SMS_TOKEN", show_envvar=True, required=True, help="The bearer token of SMS clients."
)
def inbox(smtp_port: int, http_port: int, folder: Path, sms_token: str) -> None:
    """Run only the inbox: a mail server and an SMS gateway, with pages that show the received messages."""
    configure_logging("inbox", "info")
    try:
        run_inbox(InboxSettings(smtp_port, http_port, folder, sms_token), _print_ports)
    except OSError as error:
        raise click.ClickException(f"the inbox cannot listen or store messages: {error.strerror}") from error


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Handle SIGTERM and the end of the terminal like Ctrl-C; report a part that does not start, and exit with 1."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except (ProcessError, ClusterError) as error:
        raise click.ClickException(str(error)) from error


def _welcome(stack: Stack) -> str:
    programs = stack.programs
    return f"""
  API      {programs.api_url}
  Inbox    {programs.inbox_url}
  Console  {programs.console_url}, with the token {stack.operators_token()}
  Metrics  {programs.relay_url}/metrics
  Logs     {stack.folder}

For .venv/bin/outboxctl in another terminal:

  export DATABASE_URL='{programs.operators_database_url}'

For psql, as the schema's owner:

  export {programs.owners_psql_settings}

Try:

  curl {programs.api_url}/v1/registrations -H 'Content-Type: application/json' \\
    -d '{{"email": "you@example.org", "password": "a walk by the harbour"}}'

Then open the inbox or the console. Ctrl-C stops everything.
"""


def _print_ports(smtp_port: int, http_port: int) -> None:
    print(f"smtp://127.0.0.1:{smtp_port} http://127.0.0.1:{http_port}", flush=True)
