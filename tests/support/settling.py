"""A settlement batcher without the rest of the relay."""

from collections.abc import Callable

from outbox_relay.outbox.settle import SettlementStore
from outbox_relay.outbox.settle_batcher import SettlementBatcher
from outbox_relay.outbox.settled_notifier import SettledNotifier


def a_batcher(
    store: SettlementStore, notifier: SettledNotifier, on_dead: Callable[[], None] = lambda: None
) -> SettlementBatcher:
    return SettlementBatcher(store, notifier, on_settled=lambda _soonest: None, on_dead=on_dead)
