"""Whether the duration of a response reveals that its address is taken, for an attacker next to the API."""

import json
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from math import log, sqrt
from typing import Any

from argon2 import PasswordHasher

from bench.fast_hashing import FAST
from bench.registrations import ARGON2
from bench.report import ENUMERATION, Report, median
from bench.testbed import Testbed
from devstack.ports import LOOPBACK, free_ports
from shared.ids import uuid7
from shared.vocabulary import database_name_of

CHANCE = 1e-4
"""How often two samples of the same distribution differ by more than the distance that counts as chance."""
PASSWORD, WRONG, OF_ACCOUNTS = "correct horse battery staple", "a wrong password", "the password of the account"
TAKEN, FREE = "taken", "free"
OWNER = "owner1@example.org"
"""The attacker may also be the owner of an organization."""
SETTINGS: dict[str, Any] = {
    "UNCONFIRMED_ACCESS": "limited",
    "RESEND_COOLDOWN_SECONDS": "0",
    "API_WORKERS": "1",
    "ACCESS_TOKEN_LIFETIME_SECONDS": "3600",
    "ORGANIZATIONS": "after_activation",
}
ACCOUNTS = """
insert into users (id, status, email, email_canonical, email_verified_at, activated_at, password_hash, locale)
select gen_random_uuid(), 'active', email, email, now(), now(), %s, 'en'
  from (select %s || number || '@example.org' as email from generate_series(1, %s) as number) as emails
"""

ORGANIZATION = """
with organization as (
    insert into organizations (id, name, founder_id, database_name, status, ready_at, health)
    select %(id)s, 'Clinic', id, %(database)s, 'ready', now(), 'healthy' from users where email = %(owner)s
    returning id, founder_id)
insert into organization_members (organization_id, user_id, role) select id, founder_id, 'owner' from organization
"""

Milliseconds = dict[str, list[float]]
"""The durations of each kind of request."""


@dataclass(frozen=True)
class Setup:
    """How an API hashes passwords, and how many addresses of each kind to ask about."""

    name: str
    module: str
    hasher: PasswordHasher
    rounds: int
    warm_up: int


# Fast hashing, because the noise of argon2 would hide everything else; and argon2, to see one hash more or less.
SETUPS = (
    Setup("fast hashing", "bench.fast_hashing", FAST, rounds=400, warm_up=20),
    Setup("argon2", "api_service.cli", ARGON2, rounds=30, warm_up=3),
)
QUICK = 0.5
"""The share of the rounds in a quick measurement. With fewer, one hash more or less would count as chance."""


def enumeration(testbed: Testbed, *, quick: bool) -> Report:
    """Time the same requests for taken and free addresses, one after the other, and compare the distributions."""
    report: Report = {}
    largest = 0.0
    for setup in SETUPS:
        rounds = int(setup.rounds * QUICK) if quick else setup.rounds
        taken, free = _measure(testbed, setup, rounds)
        differences = {each: (median(taken[each]) - median(free[each])) * 1000 for each in taken}
        distances = {each: distance(taken[each], free[each]) / distance_by_chance(rounds) for each in taken}
        report[f"{setup.name}, taken - free, median, µs"] = differences
        report[f"{setup.name}, distance of taken and free ÷ chance"] = distances
        largest = max(largest, *distances.values())
    return report | {ENUMERATION: largest}


def _measure(testbed: Testbed, setup: Setup, rounds: int) -> tuple[Milliseconds, Milliseconds]:
    testbed.truncate()
    organization_id = uuid7()
    with testbed.connect() as connection:
        password_hash = setup.hasher.hash(OF_ACCOUNTS)
        connection.execute(ACCOUNTS, [password_hash, TAKEN, setup.warm_up + rounds])
        connection.execute(ACCOUNTS, [password_hash, "owner", 1])
        named = {"id": organization_id, "database": database_name_of(organization_id), "owner": OWNER}
        connection.execute(ORGANIZATION, named)
        connection.execute("vacuum analyze")
    port = free_ports().api
    taken: Milliseconds = defaultdict(list)
    free: Milliseconds = defaultdict(list)
    with testbed.running(testbed.api(port, setup.module, **SETTINGS)):
        attacker = Attacker(port, str(organization_id))
        for number in range(1, setup.warm_up + rounds + 1):
            # In random order, so that neither profits from work that the other left to the database.
            for name, times in random.sample([(TAKEN, taken), (FREE, free)], 2):
                seen = attacker.ask_about(f"{name}{number}@example.org")
                for request, milliseconds in seen.items() if number > setup.warm_up else ():
                    times[request].append(milliseconds)
    return taken, free


@dataclass
class Attacker:
    """A client that times its requests."""

    port: int
    organization_id: str
    _connection: HTTPConnection = field(init=False)
    _access_token: str = field(init=False)

    def __post_init__(self) -> None:
        self._connection = HTTPConnection(LOOPBACK, self.port, timeout=30)
        _, session = self._send("POST", "/v1/sessions", 201, {"email": OWNER, "password": OF_ACCOUNTS})
        self._access_token = session["access_token"]

    def ask_about(self, email: str) -> dict[str, float]:
        """Return the milliseconds of each request about an address."""
        wrong = {"email": email, "password": WRONG}
        times = {"wrong password": self._send("POST", "/v1/sessions", 401, wrong)[0]}
        for _ in range(3):
            self._send("POST", "/v1/sessions", 401, wrong)
        times["fifth wrong password"], _ = self._send("POST", "/v1/sessions", 401, wrong)
        times["reset"], _ = self._send("POST", "/v1/password-resets", 202, {"email": email})
        own = {"email": email, "password": PASSWORD}
        times["registration"], registration = self._send("POST", "/v1/registrations", 202, own)
        times["lookup"], _ = self._send("GET", f"/v1/registrations/{registration['id']}", 200)
        times["/v1/me"], _ = self._send("GET", "/v1/me", 200, access_token=registration["access_token"])
        refresh_token = {"refresh_token": registration["refresh_token"]}
        times["refresh"], session = self._send("POST", "/v1/sessions/refresh", 200, refresh_token)
        times["refused export"], _ = self._send("GET", "/v1/me/export", 403, access_token=session["access_token"])
        times["sign-in"], _ = self._send("POST", "/v1/sessions", 201, own)
        times["resend"], _ = self._send("POST", f"/v1/registrations/{registration['id']}/resend", 202, {})
        times |= self._invite(email)
        times["sign-out"], _ = self._send("DELETE", "/v1/sessions/current", 204, access_token=session["access_token"])
        return times

    def _invite(self, email: str) -> dict[str, float]:
        """Return the milliseconds of each request about an invitation of an address, and revoke it."""
        path, own = f"/v1/organizations/{self.organization_id}/invitations", {"access_token": self._access_token}
        times = {}
        times["invitation"], invitation = self._send("POST", path, 202, {"email": email, "role": "member"}, **own)
        guess = {"email": email, "password": PASSWORD, "code": "no code"}
        times["wrong invitation code"], _ = self._send("POST", "/v1/invitations/register", 400, guess)
        times["list of invitations"], _ = self._send("GET", path, 200, **own)
        times["revocation"], _ = self._send("DELETE", f"{path}/{invitation['id']}", 204, **own)
        return times

    def _send(
        self, method: str, path: str, expected: int, body: Any = None, access_token: str = ""
    ) -> tuple[float, dict[str, Any]]:
        content = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
        start = time.perf_counter()
        self._connection.request(method, path, content, {"Content-Type": "application/json"} | headers)
        response = self._connection.getresponse()
        received = response.read()
        took = (time.perf_counter() - start) * 1000
        if response.status != expected:
            raise RuntimeError(f"{method} {path} got {response.status}: {received!r}")
        return took, json.loads(received) if received else {}


def distance(some: Sequence[float], others: Sequence[float]) -> float:
    """Return the largest difference between two empirical distributions (Kolmogorov and Smirnov), from 0 to 1."""
    merged = sorted([(value, 1 / len(some)) for value in some] + [(value, -1 / len(others)) for value in others])
    height = largest = 0.0
    for place, (value, step) in enumerate(merged):
        height += step
        is_last_of_equals = place + 1 == len(merged) or merged[place + 1][0] != value
        largest = max(largest, abs(height)) if is_last_of_equals else largest
    return largest


def distance_by_chance(size: int) -> float:
    """Return the distance that two samples of this size from one distribution exceed with a probability of CHANCE."""
    return sqrt(-log(CHANCE / 2) / 2) * sqrt(2 / size)
