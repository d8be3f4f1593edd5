"""Failed sign-ins from many networks are counted and logged."""

import json

import pytest
from prometheus_client import Counter

from api_service.errors import AccountNotActivatedError, InvalidCredentialsError, OverloadedError
from api_service.metrics import FAILED_SIGN_IN_NETWORKS, SIGN_INS
from api_service.sign_in_watch import MANY_NETWORKS, MOST_NETWORKS, WINDOW_SECONDS, SignInWatch
from shared.ids import uuid7
from shared.log import configure_logging


def fail(watch: SignInWatch, network: str) -> None:
    with pytest.raises(InvalidCredentialsError), watch.observe(network):
        raise InvalidCredentialsError


def value(counter: Counter) -> float:
    [metric] = counter.collect()
    return metric.samples[0].value


def logged(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_network_counts_once_a_minute() -> None:
    now = [100.0]
    watch, before = SignInWatch(clock=lambda: now[0]), value(FAILED_SIGN_IN_NETWORKS)
    for _ in range(3):
        fail(watch, "192.0.2.1")
    assert value(FAILED_SIGN_IN_NETWORKS) == before + 1
    now[0] += WINDOW_SECONDS
    fail(watch, "192.0.2.1")
    assert value(FAILED_SIGN_IN_NETWORKS) == before + 2


def test_many_networks_within_a_minute_are_logged_once(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("api-service", "info")
    watch = SignInWatch(clock=lambda: 0.0)
    for number in range(MANY_NETWORKS - 1):
        fail(watch, f"192.0.2.{number}")
    assert logged(capfd) == []
    for number in range(MANY_NETWORKS - 1, 3 * MANY_NETWORKS):
        fail(watch, f"192.0.2.{number}")
    [line] = logged(capfd)
    assert (line["event"], line["level"]) == ("sign-ins fail from many networks", "warning")
    assert (line["networks"], line["within_seconds"]) == (MANY_NETWORKS, WINDOW_SECONDS)
    assert "192.0.2" not in json.dumps(line)


def test_the_memory_for_networks_is_bounded() -> None:
    watch, before = SignInWatch(clock=lambda: 0.0), value(FAILED_SIGN_IN_NETWORKS)
    for number in range(MOST_NETWORKS + 100):
        fail(watch, f"2001:db8:{number:x}::/64")
    assert value(FAILED_SIGN_IN_NETWORKS) == before + MOST_NETWORKS


def test_a_rejected_sign_in_counts_its_network() -> None:
    watch, before = SignInWatch(), value(FAILED_SIGN_IN_NETWORKS)
    with pytest.raises(OverloadedError), watch.observe("192.0.2.1"):
        raise OverloadedError("sign_in")
    assert value(FAILED_SIGN_IN_NETWORKS) == before + 1


def test_a_right_password_succeeds_also_for_a_pending_account() -> None:
    watch = SignInWatch()
    before = value(SIGN_INS.labels("succeeded")), value(SIGN_INS.labels("failed"))
    with watch.observe("192.0.2.1"):
        pass
    with pytest.raises(AccountNotActivatedError), watch.observe("192.0.2.1"):
        raise AccountNotActivatedError(uuid7())
    assert (value(SIGN_INS.labels("succeeded")), value(SIGN_INS.labels("failed"))) == (before[0] + 2, before[1])
