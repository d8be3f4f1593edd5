from http import HTTPStatus
from types import ModuleType

import pytest

from api_service.errors import CODES, ViolationCode
from api_service.http.problems import PROBLEM_TYPES, VIOLATION_MESSAGES
from api_service.routes import activation_page, end_sessions_page
from api_service.use_cases.register import DeliveryProblem, RegistrationStatus, delivery_problem, registration_status
from api_service.use_cases.security_events import EventKind
from outbox_relay.rendering.branding import Sender
from outbox_relay.rendering.preview import SAMPLE_KEYS, preview
from outbox_relay.rendering.renderer import Renderer
from shared.templates import Template
from shared.vocabulary import Channel, DeadReason, Locale, Status

SENDER = Sender("Signpost", "no-reply@signpost.example")


def test_every_problem_has_a_status_and_a_detail() -> None:
    assert sorted(PROBLEM_TYPES) == sorted(CODES)
    assert all(kind.status >= HTTPStatus.BAD_REQUEST and kind.detail for kind in PROBLEM_TYPES.values())


def test_every_violation_has_a_message() -> None:
    assert VIOLATION_MESSAGES.keys() == set(ViolationCode)


@pytest.mark.parametrize(
    ("page", "labels"), [(activation_page, {"confirm", "decline", "password"}), (end_sessions_page, {"end_sessions"})]
)
def test_a_page_has_texts_for_every_variant_and_language(page: ModuleType, labels: set[str]) -> None:
    assert page.TEXTS.keys() == set(Locale)
    for texts in page.TEXTS.values():
        assert texts["labels"].keys() == labels
        assert texts["pages"].keys() == set(page.Page)
        assert all(page.keys() == {"title", "text"} for page in texts["pages"].values())


@pytest.mark.parametrize("locale", Locale)
def test_the_button_of_a_page_has_the_label_of_the_button_in_its_mails(locale: Locale) -> None:
    renderer = Renderer(SAMPLE_KEYS, "https://signpost.example", SENDER)
    labels = {"activation": activation_page.TEXTS[locale]["labels"]["confirm"]}
    labels |= dict.fromkeys(EventKind, end_sessions_page.TEXTS[locale]["labels"]["end_sessions"])
    for template, label in labels.items():
        assert f">{label}</a>" in str(preview(renderer, Template(template), Channel.EMAIL, locale).html)


@pytest.mark.parametrize(
    ("status", "dead_reason", "error_class", "problem"),
    [
        (Status.PENDING, None, None, None),
        (Status.PENDING, None, "transient", DeliveryProblem.TEMPORARILY_UNAVAILABLE),
        (Status.PENDING, None, "provider", DeliveryProblem.TEMPORARILY_UNAVAILABLE),
        (Status.SENT, None, "transient", None),
        (Status.DEAD, DeadReason.REJECTED, "recipient", DeliveryProblem.ADDRESS_REJECTED),
        (Status.DEAD, DeadReason.REJECTED, "content", DeliveryProblem.UNDELIVERABLE),
        (Status.DEAD, DeadReason.EXPIRED, None, DeliveryProblem.EXPIRED),
        (Status.DEAD, DeadReason.EXHAUSTED, "transient", DeliveryProblem.UNDELIVERABLE),
        (Status.DEAD, DeadReason.DISCARDED, None, DeliveryProblem.UNDELIVERABLE),
        (Status.DEAD, DeadReason.POISON, None, DeliveryProblem.UNDELIVERABLE),
        (Status.DEAD, DeadReason.SUPERSEDED, None, DeliveryProblem.UNDELIVERABLE),
    ],
)
def test_delivery_problems_map_from_failures(
    status: Status, dead_reason: DeadReason | None, error_class: str | None, problem: DeliveryProblem | None
) -> None:
    assert delivery_problem(status, dead_reason, error_class) is problem


def test_a_registration_is_active_expired_or_pending() -> None:
    assert registration_status(is_active=True, is_expired=True) is RegistrationStatus.ACTIVE
    assert registration_status(is_active=False, is_expired=True) is RegistrationStatus.EXPIRED
    assert registration_status(is_active=False, is_expired=False) is RegistrationStatus.PENDING
