"""Count requests against rate limits, and send the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-10)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from uuid import UUID

from flask import Flask, Response, g, request

from api_service.http.client_ip import client_address, network_of
from api_service.rate_limits import RULES, Limit, Per, Subject, Tally, TooManyRequestsError
from api_service.services import services
from shared.db.engine import DATABASE_FAILURES
from shared.web.problems import ProblemError


def limit_headers(tallies: Sequence[Tally]) -> dict[str, str]:
    """Return the RateLimit headers for these tallies.

    The number left for an address appears only at 0: other values would reveal activity on the address to strangers.
    """
    shown = [tally for tally in tallies if RULES[tally.limit].per is Per.NETWORK or not tally.is_admitted]
    if not shown:
        return {}
    names = _names(shown)
    policies = (f'"{name}";q={tally.window.amount};w={tally.window.seconds}' for name, tally in names)
    left = (f'"{name}";r={tally.left};t={tally.seconds}' for name, tally in names)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def _names(tallies: Sequence[Tally]) -> list[tuple[str, Tally]]:
    windows = Counter(tally.limit for tally in tallies)
    return [
        (f"{tally.limit}_{tally.window.seconds}" if windows[tally.limit] > 1 else str(tally.limit), tally)
        for tally in tallies
    ]


def identify_clients(app: Flask, trusted_proxies: int) -> None:
    """Set ``g.client_address`` on each request."""

    def identify() -> None:
        forwarded_for = request.headers.get("X-Forwarded-For", "")
        g.client_address = client_address(request.remote_addr or "", forwarded_for, trusted_proxies)

    app.before_request(identify)


def add_limit_headers(app: Flask) -> None:
    """Add the RateLimit headers to each response."""
    app.after_request(_add_headers)


def spend(*subjects: Subject) -> None:
    """Count a hit of each subject, before any expensive work. Raises TooManyRequestsError."""
    try:
        tallies = services().limiter.spend(subjects)
    except TooManyRequestsError as error:
        g.tallies = [*g.get("tallies", []), *error.tallies]
        raise
    g.tallies = [*g.get("tallies", []), *tallies]
    g.spent = [*g.get("spent", []), *subjects]


def refund(*subjects: Subject) -> None:
    """Take back the request's hits of these subjects."""
    services().limiter.refund(subjects)
    g.spent = [spent for spent in g.get("spent", []) if spent not in subjects]


@contextmanager
def count_unless_refused(*subjects: Subject) -> Iterator[None]:
    """Count a hit of each subject; refund it if the block raises a domain error."""
    spend(*subjects)
    try:
        yield
    except ProblemError:
        refund(*subjects)
        raise


def refund_all() -> None:
    """Refund all hits of this request and omit the RateLimit headers: the request was a repetition."""
    refund(*g.get("spent", []))
    g.tallies = []


def by_network(limit: Limit) -> Subject:
    """Return the client's network as a subject."""
    return Subject(limit, network_of(g.client_address))


def by_service(limit: Limit) -> Subject:
    """Return the whole service as a subject."""
    return Subject(limit, "all")


def by_user(limit: Limit, user_id: UUID) -> Subject:
    """Return the signed-in user as a subject."""
    return Subject(limit, user_id.hex)


def by_organization(limit: Limit, organization_id: UUID) -> Subject:
    """Return an organization as a subject."""
    return Subject(limit, organization_id.hex)


def by_addresses(limit: Limit, *canonical: str) -> list[Subject]:
    """Return these addresses as subjects."""
    return [services().limiter.address(limit, address) for address in canonical]


def _add_headers(response: Response) -> Response:
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE and g.get("spent"):
        # A request that fails without a database does not count, if the refund can still be written.
        with suppress(*DATABASE_FAILURES):
            refund_all()
    for name, value in limit_headers(g.get("tallies", [])).items():
        response.headers.setdefault(name, value)
    return response
