"""The API while 100 clients from 100 networks send wrong passwords: probes, lookups, registrations, hashes, memory."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.http_load import Client, Response, running
from bench.process_usage import private_megabytes
from bench.registrations import CORES, PASSWORD, hash_password, rate
from bench.report import (
    OVERLOAD_AFTER,
    OVERLOAD_GROWTH,
    OVERLOAD_GROWTH_OF_FLOODS,
    OVERLOAD_HASHES,
    OVERLOAD_HASHES_IMPATIENT,
    OVERLOAD_LOOKUP,
    OVERLOAD_PROBES,
    OVERLOAD_PROBES_MAX,
    OVERLOAD_REGISTERED,
    OVERLOAD_REJECTION,
    Report,
    percentile,
)
from bench.testbed import Testbed
from devstack.ports import free_ports

CLIENTS = 100
FLOODS, SECONDS, QUICK_SECONDS = 5, 60.0, 4.0
PROBE_PAUSE, LOOK_PAUSE, ALONE_SECONDS = 0.1, 0.1, 3.0
WARM_UP_CLIENTS, WARM_UP_PAIRS = 8, 5 * CORES
"""About 100 hashes for each process, several at once."""
IN_TIME, AT_ONCE = 2.0, 0.5
"""Seconds: when a registration during the flood counts as a success, and a rejection as immediate."""
HASHES_OF_A_WRONG_PASSWORD = 2
_numbers = itertools.count()


@dataclass
class Observations:
    """What clients saw during a flood."""

    probes: list[Response] = field(default_factory=list)
    lookups: list[Response] = field(default_factory=list)
    registrations: list[Response] = field(default_factory=list)
    sign_ins: Counter[int] = field(default_factory=Counter)
    seconds: float = 0

    @property
    def hashes_per_second(self) -> float:
        """The password hashes of all requests that got one."""
        registered = sum(one.status == 202 for one in self.registrations)  # noqa: PLR2004 - Accepted
        return (self.sign_ins[401] * HASHES_OF_A_WRONG_PASSWORD + registered) / self.seconds

    @property
    def registered_in_time(self) -> float:
        """The share of registrations that succeeded within IN_TIME."""
        in_time = sum(one.status == 202 and one.took <= IN_TIME for one in self.registrations)  # noqa: PLR2004
        return in_time / len(self.registrations)

    @property
    def slowest_rejection(self) -> float:
        """The seconds of the slowest 503 of a registration; infinite for one without Retry-After."""
        rejected = [one for one in self.registrations if one.status == 503]  # noqa: PLR2004
        return max((one.took if one.retry_after else float("inf") for one in rejected), default=0)


def overload(testbed: Testbed, *, quick: bool) -> Report:
    """Measure the API during floods of wrong passwords, from clients that honour Retry-After and others that do not."""
    alone = rate(lambda: hash_password, CORES, ALONE_SECONDS)
    seconds = QUICK_SECONDS if quick else SECONDS
    with _api(testbed) as api:
        asyncio.run(api.warm_up(2 if quick else WARM_UP_PAIRS))
        warm = api.memory_mb()
        patient = asyncio.run(api.flood(seconds, is_patient=True))
        impatient = asyncio.run(api.flood(seconds, is_patient=False))
        after = asyncio.run(api.registers_in())
        flooded = api.memory_mb()
        for _ in range(0 if quick else FLOODS - 2):
            asyncio.run(api.flood(seconds / 4, is_patient=False))
        last = api.memory_mb()
    alone = max(alone, rate(lambda: hash_password, CORES, ALONE_SECONDS))  # the machine's speed varies
    both = (patient, impatient)
    probes = [one.took * 1000 for each in both for one in each.probes]
    return {
        "argon2 alone, hashes/s": alone,
        "sign-ins by status, patient": _counts(patient.sign_ins),
        "sign-ins by status, impatient": _counts(impatient.sign_ins),
        "registrations by status": _counts(Counter(one.status for each in both for one in each.registrations)),
        OVERLOAD_PROBES: percentile(probes, 99),
        OVERLOAD_PROBES_MAX: max(probes),
        OVERLOAD_LOOKUP: max(percentile([one.took * 1000 for one in each.lookups], 99) for each in both),
        OVERLOAD_REGISTERED: min(each.registered_in_time for each in both),
        OVERLOAD_REJECTION: max(each.slowest_rejection for each in both) * 1000,
        OVERLOAD_HASHES: patient.hashes_per_second / alone,
        OVERLOAD_HASHES_IMPATIENT: impatient.hashes_per_second / alone,
        OVERLOAD_AFTER: after * 1000,
        "memory of the API after 100 hashes per process, MB": warm,
        OVERLOAD_GROWTH: flooded / warm,
        OVERLOAD_GROWTH_OF_FLOODS: last / flooded,
    }


def wrong_password() -> dict[str, str]:
    """Return the body of a sign-in that fails."""
    return {"email": f"victim{next(_numbers)}@example.org", "password": "a wrong password"}


def _counts(counter: Counter[int]) -> dict[str, float]:
    return {str(status): float(count) for status, count in sorted(counter.items())}


@dataclass
class FloodedApi:
    """A running API, and the clients of a flood."""

    port: int
    admin_port: int
    pid: int

    async def warm_up(self, pairs: int) -> None:
        """Let clients register and sign in with a wrong password, each so often: three hashes for each pair."""

        async def register_and_sign_in() -> None:
            for _ in range(pairs):
                async with Client(self.port) as client:  # a new connection, which any process may accept
                    await self._register(client)
                    await client.request("POST", "/v1/sessions", wrong_password())

        await asyncio.gather(*(register_and_sign_in() for _ in range(WARM_UP_CLIENTS)))

    async def flood(
        self, seconds: float, *, is_patient: bool, is_enough: Callable[[Observations], bool] = lambda _seen: False
    ) -> Observations:
        """Flood the API for so many seconds or until it is enough, and observe it from other networks."""
        seen = Observations()
        async with Client(self.port, "127.3.0.1") as client:
            registration = (await self._register(client)).headers["location"]
        attackers = (self._attack(seen, number, is_patient=is_patient) for number in range(CLIENTS))
        start = time.perf_counter()
        async with running(
            *attackers,
            self._observe(seen.probes, self.admin_port, "/livez"),
            self._observe(seen.probes, self.admin_port, "/readyz"),
            self._observe(seen.lookups, self.port, registration),
            self._register_each_second(seen),
        ):
            while (took := time.perf_counter() - start) < seconds and not is_enough(seen):  # noqa: ASYNC110 - counts of many tasks
                await asyncio.sleep(min(LOOK_PAUSE, seconds - took))
            seen.seconds = time.perf_counter() - start
        return seen

    async def registers_in(self) -> float:
        """Return the seconds that a registration and a probe take, 2 seconds after the flood."""
        await asyncio.sleep(2)
        async with Client(self.port, "127.3.0.2") as client:
            registered = await self._register(client)
        if registered.status != 202:  # noqa: PLR2004
            raise RuntimeError(f"after the flood a registration got {registered.status}: {registered.body!r}")
        return registered.took

    def memory_mb(self) -> float:
        """Return the memory of all processes of the API, without pages that they share."""
        return private_megabytes(self.pid)

    async def _attack(self, seen: Observations, number: int, *, is_patient: bool) -> None:
        async with Client(self.port, f"127.2.{number // 250}.{number % 250 + 1}") as client:
            while True:
                try:
                    response = await client.request("POST", "/v1/sessions", wrong_password())
                except OSError:
                    seen.sign_ins[0] += 1
                    continue
                seen.sign_ins[response.status] += 1
                if is_patient and response.retry_after:
                    await asyncio.sleep(response.retry_after)

    async def _observe(self, responses: list[Response], port: int, path: str) -> None:
        async with Client(port, "127.3.0.3") as client:
            while True:
                responses.append(await client.request("GET", path))
                await asyncio.sleep(PROBE_PAUSE)

    async def _register_each_second(self, seen: Observations) -> None:
        for number in itertools.count():
            async with Client(self.port, f"127.4.{number // 250}.{number % 250 + 1}") as client:
                seen.registrations.append(await self._register(client))
            await asyncio.sleep(max(0, 1 - seen.registrations[-1].took))

    async def _register(self, client: Client) -> Response:
        body = {"email": f"flood{next(_numbers)}@example.org", "password": PASSWORD}
        return await client.request("POST", "/v1/registrations", body)


@contextmanager
def _api(testbed: Testbed) -> Iterator[FloodedApi]:
    testbed.truncate()
    ports = free_ports()
    with testbed.running(testbed.api(ports.api, admin_port=ports.api_admin)) as [api]:
        yield FloodedApi(ports.api, ports.api_admin, api.pid)
