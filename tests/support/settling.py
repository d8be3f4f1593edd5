"""A settlement batcher without the rest of the relay."""

from collections.abc import Callable

from outbox_relay.outbox.settle import SettlementBatcher, SettlementStore


def a_batcher(store: SettlementStore, on_dead: Callable[[], None] = lambda: None) -> SettlementBatcher:
    return SettlementBatcher(store, on_settled=lambda _soonest: None, on_dead=on_dead)
