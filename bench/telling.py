"""How long answers take for an address with an account and for one without: it must not tell which is which.

Over HTTP, the two kinds in turns. Passwords are hashed as cheaply as argon2 allows, which hides less: what
hashing adds, it adds to both.
"""

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.ground import Ground
from devstack.ports import LOOPBACK, free_ports

PASSWORD = "correct horse battery staple"
WARM_UP = 20
HASTY = "bench.hasty_api"

HOLD = """
insert into users (id, status, email, email_canonical, email_verified_at, activated_at, password_hash, locale)
select gen_random_uuid(), 'active', name, name, now(), now(), %s, 'en'
  from (select 'known' || number || '@example.org' as name from generate_series(0, %s) as number) as names
"""


@dataclass(frozen=True)
class Client:
    """A client of the API, on a connection that it keeps."""

    connection: http.client.HTTPConnection

    def post(self, path: str, **body: object) -> dict[str, str]:
        """Post the object and return the answer's."""
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer: dict[str, str] = json.loads(self.connection.getresponse().read())
        return answer


Ask = Callable[[], object]
Way = Callable[[Client, str], Ask]


def _registering(client: Client, email: str) -> Ask:
    return lambda: client.post("/v1/registrations", email=email, password=PASSWORD)


def _founding(client: Client, email: str) -> Ask:
    clinic = {"name": "Clinic", "country": "FR"}
    return lambda: client.post("/v1/registrations", email=email, password=PASSWORD, organization=clinic)


def _resending(client: Client, email: str) -> Ask:
    registration = client.post("/v1/registrations", email=email, password=PASSWORD)
    return lambda: client.post(f"/v1/registrations/{registration['id']}/resend")


def _resetting(client: Client, email: str) -> Ask:
    return lambda: client.post("/v1/password-resets", email=email)


def _signing_in(client: Client, email: str) -> Ask:
    return lambda: client.post("/v1/sessions", email=email, password="not the right four words")


WAYS: dict[str, Way] = {
    "registration": _registering,
    "founding": _founding,
    "resend": _resending,
    "reset": _resetting,
    "login": _signing_in,
}
"""What can be asked about an address: each prepares, and returns what is timed."""


def answer_times_by_kind(ground: Ground, samples: int) -> dict[str, tuple[list[float], list[float]]]:
    """Return, for each way, how many seconds the answers took for known and for unknown addresses."""
    ground.empty()
    port = free_ports().api
    with ground.running(ground.api(port, HASTY, API_WORKERS="1", RESEND_COOLDOWN_SECONDS="0")):
        client = Client(http.client.HTTPConnection(LOOPBACK, port, timeout=30))
        _hold(ground, client, samples + WARM_UP)
        return {name: _times(way, client, samples) for name, way in WAYS.items()}


def _hold(ground: Ground, client: Client, accounts: int) -> None:
    """Have so many accounts, with a password hashed as all others are there."""
    client.post("/v1/registrations", email="somebody@example.org", password=PASSWORD)
    with ground.connect() as connection:
        [(password_hash,)] = connection.execute("select password_hash from users").fetchall()
        connection.execute(HOLD, [password_hash, accounts])
        connection.execute("vacuum analyze")


def _times(way: Way, client: Client, samples: int) -> tuple[list[float], list[float]]:
    kinds: dict[str, list[float]] = {"known": [], "never": []}
    for number in range(samples + WARM_UP):
        # Alternately first and second, so that neither kind profits from the other.
        for kind in sorted(kinds, reverse=number % 2 == 0):
            ask = way(client, f"{kind}{number}@example.org")
            began = time.perf_counter()
            ask()
            kinds[kind].append(time.perf_counter() - began)
    return kinds["known"][WARM_UP:], kinds["never"][WARM_UP:]
