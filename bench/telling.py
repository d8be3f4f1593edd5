"""How long answers take for an address with an account and for one without: it must not tell which is which.

Over HTTP, the two kinds in any order, two clients at once with an API for each. Passwords are hashed as cheaply as
argon2 allows, which hides less: what hashing adds, it adds to both.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from random import Random

from bench.ground import Ground
from devstack.ports import LOOPBACK, free_ports

PASSWORD = "correct horse battery staple"
WARM_UP = 20
HASTY = "bench.hasty_api"
SEED = 1
"""Of the order in which the two kinds come: in turns, each would always meet the same of the API's threads."""

HOLD = """
insert into users (id, status, email, email_canonical, email_verified_at, activated_at, password_hash, locale)
select gen_random_uuid(), 'active', name, name, now(), now(), somebody.password_hash, 'en'
  from users as somebody,
       (select 'known' || n || '@' || %(domain)s as name from generate_series(0, %(accounts)s) as n) as names
 where somebody.email = %(somebody)s
"""


@dataclass(frozen=True)
class Client:
    """A client of the API, on a connection that it keeps."""

    connection: http.client.HTTPConnection
    domain: str
    registrations: dict[str, str] = field(default_factory=dict)
    """What each address was answered when it was registered here last."""

    def post(self, path: str, **body: object) -> dict[str, str]:
        """Post the object and return the answer's."""
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer: dict[str, str] = json.loads(self.connection.getresponse().read())
        return answer


Ask = Callable[[], object]
Way = Callable[[Client, str], Ask]


def _registering(client: Client, email: str) -> Ask:
    def ask() -> None:
        client.registrations[email] = client.post("/v1/registrations", email=email, password=PASSWORD)["id"]

    return ask


def _founding(client: Client, email: str) -> Ask:
    clinic = {"name": "Clinic", "country": "FR"}
    return lambda: client.post("/v1/registrations", email=email, password=PASSWORD, organization=clinic)


def _resending(client: Client, email: str) -> Ask:
    # Looked up beforehand: only the answer is timed.
    path = f"/v1/registrations/{client.registrations[email]}/resend"
    return lambda: client.post(path)


def _resetting(client: Client, email: str) -> Ask:
    return lambda: client.post("/v1/password-resets", email=email)


def _signing_in(client: Client, email: str) -> Ask:
    return lambda: client.post("/v1/sessions", email=email, password="not the right four words")


WAYS: dict[str, dict[str, Way]] = {
    "example.org": {"registration": _registering, "resend": _resending, "reset": _resetting},
    "example.com": {"founding": _founding, "login": _signing_in},
}
"""What each of two clients asks about the addresses of its domain: a way returns what is timed.

Resends are of what was registered before them.
"""


def answer_times_by_kind(ground: Ground, samples: int) -> dict[str, tuple[list[float], list[float]]]:
    """Return, for each way, how many seconds the answers took for known and for unknown addresses."""
    ground.empty()
    with ExitStack() as ending:
        clients = [ending.enter_context(_client(ground, domain)) for domain in WAYS]
        _hold(ground, clients, samples + WARM_UP)
        # Each waits for the disk half of its time, and has a core for the rest.
        with ThreadPoolExecutor(len(clients)) as pool:
            answered = pool.map(lambda client: _ask_all(client, samples), clients)
            return {name: times for client in answered for name, times in client.items()}


@contextmanager
def _client(ground: Ground, domain: str) -> Iterator[Client]:
    """Run an API for one client alone: two in one process would wait for each other."""
    port = free_ports().api
    program = ground.api(port, HASTY, API_WORKERS="1", RESEND_COOLDOWN_SECONDS="0")
    with ground.running(replace(program, name=f"api of {domain}")):
        yield Client(http.client.HTTPConnection(LOOPBACK, port, timeout=30), domain)


def _hold(ground: Ground, clients: Iterable[Client], accounts: int) -> None:
    """Have so many accounts for each client, with a password hashed as all others are there."""
    for client in clients:
        email = f"somebody@{client.domain}"
        client.post("/v1/registrations", email=email, password=PASSWORD)
        client.connection.close()  # the API ends those that rest while accounts are made
        with ground.connect() as connection:
            connection.execute(HOLD, {"somebody": email, "domain": client.domain, "accounts": accounts})
            connection.execute("vacuum analyze")


def _ask_all(client: Client, samples: int) -> dict[str, tuple[list[float], list[float]]]:
    return {name: _times(way, client, samples) for name, way in WAYS[client.domain].items()}


def _times(way: Way, client: Client, samples: int) -> tuple[list[float], list[float]]:
    kinds: dict[str, list[float]] = {"known": [], "never": []}
    dice = Random(SEED)
    for number in range(samples + WARM_UP):
        for kind in dice.sample(sorted(kinds), len(kinds)):
            ask = way(client, f"{kind}{number}@{client.domain}")
            began = time.perf_counter()
            ask()
            kinds[kind].append(time.perf_counter() - began)
    return kinds["known"][WARM_UP:], kinds["never"][WARM_UP:]
