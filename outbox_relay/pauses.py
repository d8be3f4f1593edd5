"""Pauses: the providers, channels and templates that operators have stopped by hand.

They are rows in the table ``pauses``, so they apply to all relays, and survive restarts. A relay reads them before its
first claim, then with each exchange of provider states and with each poll. Without the database, it continues with
the pauses that it read last.
"""

from collections.abc import Callable, Collection, Iterable

from outbox_relay.metrics import PAUSED
from shared.log import get_logger
from shared.templates import TEMPLATES_AND_WORK
from shared.vocabulary import PauseKind, Priority

READ_PAUSES = "select kind, name from pauses where until is null or until > now()"

log = get_logger("relay.pauses")

Pause = tuple[str, str]
"""The kind and the name of the paused part."""


class Pauses:
    """The pauses that this relay knows, shared by all of its parts."""

    def __init__(self) -> None:
        self.are_known = False
        self.claimable_templates = claimable_templates(frozenset())
        self._paused: frozenset[Pause] = frozenset()
        self._on_change: list[Callable[[], None]] = []

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Register a callback for changes."""
        self._on_change.append(on_change)

    def update(self, rows: Iterable[Collection[str]]) -> None:
        """Adopt what the database has. Log each change, and call the callbacks if there is one."""
        if not self.are_known:
            PAUSED.clear()  # it may have the values from before a reload
        found = frozenset((kind, name) for kind, name in rows)
        before, self._paused, self.are_known = self._paused, found, True
        self.claimable_templates = claimable_templates(found)
        for kind, name in sorted(found - before):
            PAUSED.labels(kind, name).set(1)
            log.warning("paused", kind=kind, name=name)
        for kind, name in sorted(before - found):
            PAUSED.remove(kind, name)
            log.info("resumed", kind=kind, name=name)
        if found != before:
            for callback in self._on_change:
                callback()

    def includes(self, kind: PauseKind, name: str) -> bool:
        """Return whether it is paused."""
        return (kind, name) in self._paused

    def paused_templates(self, priority: Priority) -> list[str]:
        """Return the paused templates whose messages have this priority."""
        return [
            str(template)
            for template in TEMPLATES_AND_WORK
            if template.priority is priority and self.includes(PauseKind.TEMPLATE, template)
        ]


def claimable_templates(paused: Collection[Pause]) -> str:
    """Return the templates that this release knows and that are not paused, as a PostgreSQL array literal."""
    return f"{{{','.join(name for name in TEMPLATES_AND_WORK if (PauseKind.TEMPLATE, name) not in paused)}}}"
