"""Run the outbox state machine of the integration tests longer, with a different seed each time."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.databases import Database
from tests.support.outbox_machine import OutboxMachine, machine_on
from tests.support.relay_group import times

LONG = settings(
    max_examples=times(30),
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def machine(database: Database) -> Iterator[type[OutboxMachine]]:
    machine = machine_on(database)
    yield machine
    for engine in machine.engines.values():
        engine.dispose()


def test_the_outbox_matches_its_model_over_long_runs(machine: type[OutboxMachine], jitter: random.Random) -> None:
    run_state_machine_as_test(seed(jitter.randrange(2**32))(machine), settings=LONG)
