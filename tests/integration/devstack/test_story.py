import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from devstack.cluster import Cluster, embedded_binaries
from devstack.janitor import Janitor
from devstack.ports import free_ports
from devstack.programs import Programs
from devstack.scene import Scene, expect
from devstack.stack import Stack
from devstack.story import STORY, Step, run_story


@pytest.fixture
def stopped_stack(tmp_path: Path) -> Iterator[Stack]:
    cluster = Cluster(embedded_binaries())
    with Janitor() as janitor:
        yield Stack(Programs(free_ports(), tmp_path, cluster), janitor)


def run_of(story: list[Step], stack: Stack) -> tuple[bool, str]:
    page = io.StringIO()
    has_passed = run_story(story, stack, Console(file=page))
    return has_passed, page.getvalue()


def holds(_scene: Scene) -> None:
    pass


def fails(_scene: Scene) -> None:
    expect("[two] messages", seen="[one]", is_so=False)


def test_each_step_is_a_line_with_its_milliseconds(stopped_stack: Stack) -> None:
    has_passed, page = run_of([Step("One", holds), Step("Two", holds)], stopped_stack)
    assert has_passed
    assert [line.split()[:3] for line in page.splitlines()] == [["ok", "1", "One"], ["ok", "2", "Two"]]
    assert all(line.endswith(" ms") for line in page.splitlines())


def test_a_failed_step_ends_the_story_with_its_expectation_result_and_logs(
    stopped_stack: Stack,
) -> None:
    stopped_stack.relay.log.write_text("the relay's last words\n")
    has_passed, page = run_of([Step("One", fails), Step("Two", holds)], stopped_stack)
    assert not has_passed
    assert "no  1  One" in page
    assert "expected: [two] messages\n       seen:     [one]\n" in page
    assert "--- the end of outbox-relay's log:\nthe relay's last words\n" in page
    assert "Two" not in page


def test_the_story_fails_without_running_services(stopped_stack: Stack) -> None:
    has_passed, page = run_of(list(STORY), stopped_stack)
    assert not has_passed
    assert "ConnectError" in page
