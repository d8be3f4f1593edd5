"""After any sequence of operations, the outbox matches its model."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.databases import Database
from tests.support.outbox_machine import OutboxMachine, machine_on

SHORT = settings(
    max_examples=25,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def machine(database: Database) -> Iterator[type[OutboxMachine]]:
    machine = machine_on(database)
    yield machine
    for engine in machine.engines.values():
        engine.dispose()


def test_the_outbox_matches_its_model_after_any_operations(machine: type[OutboxMachine]) -> None:
    run_state_machine_as_test(machine, settings=SHORT)
