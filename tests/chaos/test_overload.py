"""A flood of sign-ins from many networks: probes, registrations and lookups go on, and nothing is lost.

``python -m bench overload`` measures the times. Here only counts and order are asserted.
"""

import asyncio
from urllib.parse import urlsplit

import pytest

from bench.overload import CLIENTS, FloodedApi, Observations
from tests.support import plain_http
from tests.support.api import PASSWORD, counted
from tests.support.databases import Database
from tests.support.processes import RunningApi, running_api

LONGEST_SECONDS = 60.0
REGISTRATIONS = 4
ADA = {"email": "ada@example.org", "password": PASSWORD}
IN_PARALLEL = 2 * 6
"""The sign-ins that two processes with 16 threads admit at once."""


def flooded(api: RunningApi, *, is_patient: bool) -> Observations:
    ports = [int(str(urlsplit(url).port)) for url in (api.base_url, f"http://{api.admin_bind}")]
    return asyncio.run(FloodedApi(*ports, api.pid).flood(LONGEST_SECONDS, is_patient=is_patient, is_enough=is_enough))


def is_enough(seen: Observations) -> bool:
    """Return whether all clients have had responses, of both kinds, and others have registered meanwhile."""
    both = min(seen.sign_ins[401], seen.sign_ins[503])
    return both >= IN_PARALLEL and seen.sign_ins.total() >= 2 * CLIENTS and len(seen.registrations) >= REGISTRATIONS


@pytest.mark.parametrize("is_patient", [True, False], ids=["patient", "impatient"])
def test_a_flood_of_wrong_passwords_leaves_everything_else_usable(database: Database, *, is_patient: bool) -> None:
    with running_api(database, API_WORKERS="2") as api:
        assert plain_http.post(f"{api.base_url}/v1/registrations", json=ADA).status_code == 202
        seen = flooded(api, is_patient=is_patient)

        assert set(seen.sign_ins) <= {401, 503}
        assert seen.sign_ins[401] >= IN_PARALLEL
        assert seen.sign_ins[503] >= IN_PARALLEL
        assert {probe.status for probe in seen.probes} == {200}
        assert {lookup.status for lookup in seen.lookups} == {200}
        statuses = [one.status for one in seen.registrations]
        assert set(statuses) <= {202, 503}
        assert statuses.count(202) * 2 >= len(statuses)
        assert all(one.retry_after for one in seen.registrations if one.status == 503)

        after = plain_http.post(f"{api.base_url}/v1/registrations", json=ADA | {"email": "bea@example.org"}, timeout=30)
        assert after.status_code == 202
        attacks = [line for line in api.log_lines() if line["event"] == "sign-ins fail from many networks"]
        assert attacks
        assert [line for line in api.log_lines() if line["level"] == "error"] == []
        assert 'signpost_overloaded_total{pool="sign_in"}' in api.admin("/metrics").text
        for path in ("/metrics", "/livez", "/readyz"):
            assert plain_http.get(f"{api.base_url}{path}", timeout=30).status_code == 404
        assert api.process.poll() is None
    accepted = 3 + statuses.count(202)  # before, for the lookups, and after
    # The flood may have ended while its last registration was in progress, whose response was then not read.
    assert counted(database) in [(number, number, number) for number in (accepted, accepted + 1)]
