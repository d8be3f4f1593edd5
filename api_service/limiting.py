"""Limits around a request: whose hits it counts as, and what its answer tells of them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from uuid import UUID

from flask import Flask, Response, g, request

from api_service.networks import client_address, network_of
from api_service.rate_limits import Limit, Subject, TooManyRequestsError
from api_service.rate_limits.headers import limit_headers
from api_service.services import services
from shared.engine import DATABASE_FAILURES
from shared.web.refusals import Refusal


def know_clients(app: Flask, trusted_proxies: int) -> None:
    """Have each request know by ``g.client_address`` whose it is."""

    def know() -> None:
        forwarded_for = request.headers.get("X-Forwarded-For", "")
        g.client_address = client_address(request.remote_addr or "", forwarded_for, trusted_proxies)

    app.before_request(know)


def tell_limits(app: Flask) -> None:
    """Have each answer tell of the limits that its request was counted by."""
    app.after_request(_tell)


def spend(*subjects: Subject) -> None:
    """Count the request against these, before anything slow is done for it. Raises TooManyRequestsError."""
    try:
        tallies = services().limiter.spend(subjects)
    except TooManyRequestsError as refusal:
        g.tallies = [*g.get("tallies", []), *refusal.tallies]
        raise
    g.tallies = [*g.get("tallies", []), *tallies]
    g.spent = [*g.get("spent", []), *subjects]


def give_back(*subjects: Subject) -> None:
    """Take the request's hits of these back: what was counted beforehand did not happen."""
    services().limiter.give_back(subjects)
    g.spent = [spent for spent in g.get("spent", []) if spent not in subjects]


@contextmanager
def counted_if_done(*subjects: Subject) -> Iterator[None]:
    """Count the request against these before it is carried out; what is refused then gives that back."""
    spend(*subjects)
    try:
        yield
    except Refusal:
        give_back(*subjects)
        raise


def give_all_back() -> None:
    """Take back whatever the request has counted so far, and tell nothing of it: it was a repetition."""
    give_back(*g.get("spent", []))
    g.tallies = []


def from_network(limit: Limit) -> Subject:
    """Name the client's network."""
    return Subject(limit, network_of(g.client_address))


def by_user(limit: Limit, user_id: UUID) -> Subject:
    """Name the user who is signed in."""
    return Subject(limit, user_id.hex)


def to_addresses(limit: Limit, *canonical: str) -> list[Subject]:
    """Name these addresses."""
    return [services().limiter.address(limit, address) for address in canonical]


def _tell(answer: Response) -> Response:
    if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and g.get("spent"):
        # What could not be done for want of a database counts against nobody, as far as that can be written.
        with suppress(*DATABASE_FAILURES):
            give_all_back()
    for name, value in limit_headers(g.get("tallies", [])).items():
        answer.headers.setdefault(name, value)
    return answer
