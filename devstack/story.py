"""The steps of ``make demo``, and how they run. Each step checks its result."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.console import Console

from devstack.scene import Scene, StepFailedError, expect
from devstack.stack import Stack

ADA = "ada@example.org"
ADAS_PHONE = "+447400123456"
GRACE = "grace@example.org"
MARY = "mary@example.org"

AT_ONCE_SECONDS = 1.0
CLAIM_WIDTH = 61


@dataclass(frozen=True)
class Step:
    """A claim, and a function that demonstrates it or raises StepFailedError."""

    claim: str
    show: Callable[[Scene], None]


def register_by_email(scene: Scene) -> None:
    """Register; the response comes before the mail is sent."""
    registration = scene.register(ADA)
    is_waiting = registration["delivery"]["status"] == "pending" and not registration["email_confirmation_sent"]
    expect("the message still pending in the response", seen=registration, is_so=is_waiting)


def receive_mail(scene: Scene) -> None:
    """Find the code in the mail, and the registration's delivery as sent."""
    scene.code_from(ADA)
    scene.wait_for_delivery(ADA, status="sent")
    registration = scene.registration(ADA)
    expect("email_confirmation_sent", seen=registration, is_so=registration["email_confirmation_sent"])


def activate_by_email(scene: Scene) -> None:
    """Activate with the code."""
    scene.activate(ADA)


def register_by_sms(scene: Scene) -> None:
    """Register a phone number."""
    registration = scene.register(ADAS_PHONE)
    is_waiting = registration["channel"] == "sms" and registration["delivery"]["status"] == "pending"
    expect("the SMS still pending in the response", seen=registration, is_so=is_waiting)


def receive_sms(scene: Scene) -> None:
    """Find the code in the SMS."""
    scene.code_from(ADAS_PHONE)
    scene.wait_for_delivery(ADAS_PHONE, status="sent")


def activate_by_sms(scene: Scene) -> None:
    """Activate with the code."""
    scene.activate(ADAS_PHONE)


def register_while_the_mail_server_is_down(scene: Scene) -> None:
    """Stop the inbox and register; the response comes at once, and the message waits without spending attempts."""
    scene.stack.inbox.stop()
    started = time.perf_counter()
    scene.register(GRACE)
    took = time.perf_counter() - started
    expect(f"a response within {AT_ONCE_SECONDS:g} s", seen=f"{took:.2f} s", is_so=took < AT_ONCE_SECONDS)
    scene.wait_for_delivery(GRACE, status="pending", attempts=0, problem="temporarily_unavailable")


def receive_once_the_server_is_back(scene: Scene) -> None:
    """Start the inbox again; the waiting message arrives, and its code works."""
    scene.stack.inbox.start()
    scene.stack.inbox.wait_until_ready()
    scene.activate(GRACE)


def give_up_on_a_rejected_address(scene: Scene) -> None:
    """Reject the address; its message is dead after one attempt, and outboxctl shows it."""
    scene.inbox.refuse(MARY)
    scene.register(MARY)
    scene.wait_for_delivery(MARY, status="dead", attempts=1, problem="address_rejected")
    dead = scene.dead_messages()
    is_listed = [(message["dead_reason"], message["attempt"]) for message in dead] == [("rejected", 1)]
    expect("one message, rejected after one attempt, from outboxctl list", seen=dead, is_so=is_listed)


def requeue_after_repair(scene: Scene) -> None:
    """Accept the address again and requeue; the message arrives, and its code works."""
    scene.inbox.accept(MARY)
    [message] = scene.dead_messages()
    scene.stack.outboxctl("requeue", message["id"], "--reason", "the mailbox exists now")
    scene.activate(MARY)
    dead = scene.dead_messages()
    expect("no dead messages", seen=dead, is_so=not dead)


STORY = (
    Step("A registration by e-mail responds before the mail goes", register_by_email),
    Step("The mail arrives in a real SMTP server, with a code", receive_mail),
    Step("The code activates the account", activate_by_email),
    Step("A registration by phone responds before the SMS goes", register_by_sms),
    Step("The SMS arrives through a real HTTP gateway, with a code", receive_sms),
    Step("The code activates the account", activate_by_sms),
    Step("Mail server down: responds at once, and the message waits", register_while_the_mail_server_is_down),
    Step("Mail server back: the message arrives, its code activates", receive_once_the_server_is_back),
    Step("Rejected address: dead after one attempt, outboxctl shows it", give_up_on_a_rejected_address),
    Step("Mailbox exists again, requeued: it arrives and activates", requeue_after_repair),
)


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
