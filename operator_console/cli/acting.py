"""Acting: requeue and discard, messages by their ids or all that a filter lets through."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import click
from sqlalchemy.orm import Session

from operator_console.acting import (
    HIGHEST_PER_MINUTE,
    Act,
    ActingError,
    Action,
    BulkPlan,
    Correction,
    UnknownMessageError,
    discard,
    requeue,
    undo_discard,
)
from operator_console.cli.audited import act_because
from operator_console.cli.bulks import run_plan
from operator_console.cli.database import complain, sessions
from operator_console.cli.options import filter_of, filter_options, reason_option
from shared.command_line import OneOf
from shared.vocabulary import Locale

ActOnOne = Callable[[Session, UUID, Act], object]


@dataclass(frozen=True)
class Deed:
    """What to do, how one message has it done, and what is then so."""

    action: Action
    act_on: ActOnOne
    done: str


@dataclass(frozen=True)
class Choice:
    """What the options say of a bulk act: which messages, how many a minute, and how sure the operator is."""

    wanted: dict[str, Any]
    is_all: bool
    is_dry_run: bool
    is_sure: bool
    per_minute: int | None

    @property
    def is_made(self) -> bool:
        """Whether any of it was said."""
        is_filtered = any(value is not None for value in self.wanted.values())
        return is_filtered or self.is_all or self.is_dry_run or self.per_minute is not None


def bulk_options(command: Any) -> Any:
    """Give a command the options of acts on many messages."""
    for option in (
        click.option(
            "--per-minute", type=click.IntRange(1, HIGHEST_PER_MINUTE), help="No more messages a minute than this."
        ),
        click.option("--yes", "is_sure", is_flag=True, help="Do not ask after counting."),
        click.option("--dry-run", "is_dry_run", is_flag=True, help="Count, and change nothing."),
        click.option("--all", "is_all", is_flag=True, help="All that died; needed where no filter is given."),
    ):
        command = option(command)
    return filter_options(command)


@click.command("requeue")
@click.argument("ids", nargs=-1, type=click.UUID)
@reason_option
@click.option("--to", "address", help="Correct the recipient; one message's.")
@click.option("--locale", type=OneOf(Locale), help="Correct the language; one message's.")
@bulk_options
def requeue_command(
    ids: tuple[UUID, ...], reason: str, address: str | None, locale: Locale | None, **said: Any
) -> None:
    """Give dead messages another try, with the newest code, or a fresh one if that has expired.

    Name them by their IDS, or choose them by the options of `list`: then they are counted first.
    """
    correction = Correction(recipient=address, locale=locale)
    if correction != Correction() and len(ids) != 1:
        raise click.UsageError("--to and --locale correct one message: name it by its id.")

    def act_on(session: Session, message_id: UUID, act: Act) -> None:
        requeue(session, message_id, act, correction)

    _act(Deed(Action.REQUEUE, act_on, "is pending and due now"), ids, reason, said)


@click.command("discard")
@click.argument("ids", nargs=-1, type=click.UUID)
@reason_option
@bulk_options
def discard_command(ids: tuple[UUID, ...], reason: str, **said: Any) -> None:
    """Close dead messages that nobody need look at any more; `undo-discard` opens one again.

    Name them by their IDS, or choose them by the options of `list`: then they are counted first.
    """
    _act(Deed(Action.DISCARD, discard, "is discarded"), ids, reason, said)


@click.command("undo-discard")
@click.argument("ids", nargs=-1, type=click.UUID, required=True)
@reason_option
def undo_discard_command(ids: tuple[UUID, ...], reason: str) -> None:
    """Give discarded messages the reason back that they had died of."""
    _act_on_each(Deed(Action.UNDO_DISCARD, undo_discard, "is as it was before it was discarded"), ids, reason)


def _act(deed: Deed, ids: tuple[UUID, ...], reason: str, said: dict[str, Any]) -> None:
    choice = _choice(said)
    if ids and choice.is_made:
        raise click.UsageError("Name messages by their ids, or choose them by options, not both.")
    if ids:
        _act_on_each(deed, ids, reason)
        return
    wanted = filter_of(choice.wanted)
    if wanted.is_empty_but_for_dead and not choice.is_all:
        raise click.UsageError("Say which messages: their ids, a filter, or --all.")
    plan = BulkPlan(deed.action, wanted, choice.per_minute, choice.is_all)
    run_plan(plan, reason, is_dry_run=choice.is_dry_run, is_sure=choice.is_sure)


def _choice(said: dict[str, Any]) -> Choice:
    names = ("is_all", "is_dry_run", "is_sure", "per_minute")
    return Choice(
        {name: value for name, value in said.items() if name not in names}, **{name: said[name] for name in names}
    )


def _act_on_each(deed: Deed, ids: tuple[UUID, ...], reason: str) -> None:
    """Act on messages one by one, each in a transaction of its own; exit with 1 if one was refused."""
    has_failed = False
    with sessions() as made:
        for message_id in ids:
            try:
                with made.begin() as session:
                    deed.act_on(session, message_id, act_because(reason))
            except UnknownMessageError:
                complain(f"there is no message {message_id}")
                has_failed = True
            except ActingError as error:
                complain(f"message {message_id} {error}")
                has_failed = True
            else:
                _tell(f"message {message_id} {deed.done}")
    if has_failed:
        raise SystemExit(1)


def _tell(line: str) -> None:
    """Say it; where that can be written nowhere, where errors go: the next message has it done all the same."""
    try:
        click.echo(line)
    except OSError:
        click.echo(line, err=True)
