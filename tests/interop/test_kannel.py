"""A Kannel between the relay and an SMSC: its delivery reports reach the receiver of callbacks and change states."""

import asyncio
from contextlib import ExitStack

import pytest

from tests.support.api import api_on
from tests.support.callbacks import FEEDBACK_KEYS, reports, running_receiver
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.forwarding import unused_port
from tests.support.kannel import kannel, kannel_with_fake_smsc
from tests.support.outbox import Outbox
from tests.support.relays import running_relay
from tests.support.smsc import Smsc, receipt

pytestmark = pytest.mark.anyio


EFFECTS = {"DELIVRD": ("delivered", None), "UNDELIV": ("bounced", "recipient"), "REJECTD": ("bounced", "policy")}
"""The kind and the cause of the stored report, by the state in the SMSC's receipt."""


async def test_delivery_reports_of_kannel_change_the_states_of_their_messages(outbox: Outbox) -> None:
    port = unused_port()
    base = f"http://127.0.0.1:{port}"
    phones = {f"3361234567{number}": state for number, state in enumerate(EFFECTS)}
    async with Smsc(id_of=lambda number: f"{number:08}") as smsc:
        with ExitStack() as stack:
            api = stack.enter_context(api_on(outbox.database))
            registrations = {state: api.registered(phone=f"+{phone}") for phone, state in phones.items()}
            gateway = await asyncio.to_thread(stack.enter_context, kannel(smsc.port))
            running = running_receiver(outbox.database, bind=f"127.0.0.1:{port}", CALLBACK_URL=base)
            await asyncio.to_thread(stack.enter_context, running)
            settings = {"SMS_PROVIDERS": gateway.provider, "CALLBACK_URL": base, "FEEDBACK_KEYS": FEEDBACK_KEYS}
            stack.enter_context(running_relay(outbox.database, **settings, RELAY_MAINTENANCE_SECONDS="1"))
            await asyncio.to_thread(eventually, lambda: len(smsc.submitted) == len(phones))
            for number, message in enumerate(smsc.submitted, 1):
                state = phones[message.destination[2].removeprefix("+")]
                assert await smsc.deliver(receipt(f"{number:08}", state)) == 0

            def states() -> dict[str, str]:
                return {state: api.look_up(id_).json["delivery"]["state"] for state, id_ in registrations.items()}

            expected = {state: kind for state, (kind, _) in EFFECTS.items()}
            await asyncio.to_thread(eventually, lambda: states() == expected)
            messages = {state: api.messages(id_)[0].id for state, id_ in registrations.items()}
    assert all(message.registered_delivery & 1 for message in smsc.submitted)
    stored = reports(outbox.database, "message_id, kind, cause, diagnostic, source")
    assert sorted(stored) == sorted((messages[state], *effect, None, "kannel") for state, effect in EFFECTS.items())


async def test_kannel_repeats_a_report_until_the_receiver_is_back(outbox: Outbox, database: Database) -> None:
    [message_id] = outbox.put(channel="sms", recipient="'+33612345678'")
    port = unused_port()
    base = f"http://127.0.0.1:{port}"
    async with Smsc(id_of=lambda number: f"{number:08}") as smsc:
        with ExitStack() as stack:
            gateway = await asyncio.to_thread(stack.enter_context, kannel(smsc.port))
            settings = {"SMS_PROVIDERS": gateway.provider, "CALLBACK_URL": base, "FEEDBACK_KEYS": FEEDBACK_KEYS}
            stack.enter_context(running_relay(database, **settings))
            await smsc.wait_for(smsc.has_submission)
            assert await smsc.deliver(receipt("00000001")) == 0
            running = running_receiver(database, bind=f"127.0.0.1:{port}", CALLBACK_URL=base)
            await asyncio.to_thread(stack.enter_context, running)
            stored = await asyncio.to_thread(eventually, lambda: reports(database, "message_id, kind"))
    assert stored == [(message_id, "delivered")]


def test_the_reports_of_kannels_own_fake_smsc_are_understood(outbox: Outbox, database: Database) -> None:
    [message_id] = outbox.put(channel="sms", recipient="'+33612345678'")
    port = unused_port()
    base = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        gateway = stack.enter_context(kannel_with_fake_smsc())
        stack.enter_context(running_receiver(database, bind=f"127.0.0.1:{port}", CALLBACK_URL=base))
        settings = {"SMS_PROVIDERS": gateway.provider, "CALLBACK_URL": base, "FEEDBACK_KEYS": FEEDBACK_KEYS}
        stack.enter_context(running_relay(database, **settings))
        # "Submitted" arrives before, and is no news.
        stored = eventually(lambda: reports(database, "message_id, kind, cause, diagnostic, source"))
    assert stored == [(message_id, "delivered", None, None, "kannel")]
