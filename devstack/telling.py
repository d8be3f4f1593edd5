"""Run the demo: print a line for each step with its duration, and the details of a failure."""

import time
from collections.abc import Iterable

from rich.console import Console

from devstack.scene import Scene, StepFailedError
from devstack.stack import Stack
from devstack.story import Step

CLAIM_WIDTH = 61


def run_story(story: Iterable[Step], stack: Stack, console: Console) -> bool:
    """Run the steps up to the first failure; return whether all passed."""
    scene = Scene(stack)
    try:
        return all(_holds(number, step, scene, console) for number, step in enumerate(story, start=1))
    finally:
        scene.close()


def _holds(number: int, step: Step, scene: Scene, console: Console) -> bool:
    started = time.perf_counter()
    failure = _failure(step, scene)
    milliseconds = (time.perf_counter() - started) * 1000
    mark = "[red]no[/]" if failure else "[green]ok[/]"
    console.print(
        f"{mark} {number:>2}  {step.claim:<{CLAIM_WIDTH}}{milliseconds:>8.1f} ms", highlight=False, soft_wrap=True
    )
    if failure:
        console.print(_explained(failure), scene.stack.tails(), sep="\n", markup=False, highlight=False, soft_wrap=True)
    return failure is None


def _failure(step: Step, scene: Scene) -> Exception | None:
    try:
        step.show(scene)
    except Exception as error:  # noqa: BLE001 - any error is reported with the logs while they exist
        return error
    return None


def _explained(failure: Exception) -> str:
    match failure:
        case StepFailedError(expected=expected, seen=seen):
            return f"       expected: {expected}\n       seen:     {seen}"
        case _:
            return f"       expected: no error\n       seen:     {type(failure).__name__}: {failure}"
