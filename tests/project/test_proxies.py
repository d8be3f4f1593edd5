"""The limits of the samples for proxies, compared with those of the services behind them."""

import re
from pathlib import Path

import pytest

from api_service.outbox_signals.wait_for_settled import MAX_WAIT_SECONDS
from api_service.server import KEEP_ALIVE_SECONDS
from shared.web.requests import LONGEST_BODY_BYTES
from shared.web.worker import STOP_IDLE_SECONDS
from tests.support.commands import ROOT

DEPLOY = ROOT / "deploy"
NGINX = DEPLOY / "nginx" / "signpost.conf"
CADDY = DEPLOY / "caddy" / "Caddyfile"
CALLBACKS = DEPLOY / "nginx" / "signpost-callbacks.conf"
SAMPLES = (NGINX, DEPLOY / "nginx" / "signpost-console.conf", CALLBACKS, CADDY)
ADMIN_PORTS = (8002, 8003, 8004, 8005, 8007)


@pytest.mark.parametrize(("sample", "word"), [(NGINX, "keepalive_timeout"), (CADDY, "keepalive")])
def test_a_proxy_closes_idle_connections_before_the_api(sample: Path, word: str) -> None:
    milliseconds = number_after(word, sample)
    assert f"{word} {milliseconds}ms" in sample.read_text()
    assert 2 * milliseconds < STOP_IDLE_SECONDS * 1000 < KEEP_ALIVE_SECONDS * 1000


@pytest.mark.parametrize(("sample", "word"), [(NGINX, "proxy_read_timeout"), (CADDY, "response_header_timeout")])
def test_a_proxy_waits_longer_than_a_client_may(sample: Path, word: str) -> None:
    assert number_after(word, sample) > 2 * MAX_WAIT_SECONDS


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (NGINX, ("client_max_body_size", "client_body_buffer_size")),
        (CALLBACKS, ("client_max_body_size", "client_body_buffer_size")),
        (CADDY, ("max_size", "request_buffers")),
    ],
)
def test_a_proxy_admits_and_buffers_each_body_that_the_api_accepts(sample: Path, words: tuple[str, str]) -> None:
    admitted, buffered = (number_after(word, sample) * 1024 for word in words)
    assert buffered >= admitted > LONGEST_BODY_BYTES


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_no_proxy_leads_to_an_admin_listener(sample: Path) -> None:
    assert [port for port in ADMIN_PORTS if f":{port}" in sample.read_text()] == []


def number_after(word: str, sample: Path) -> int:
    """Return the number that the sample first gives for a directive."""
    [number, *_] = re.findall(rf"^\s*{word} (\d+)", sample.read_text(), re.MULTILINE)
    return int(number)
