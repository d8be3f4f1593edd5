"""The names of devices in notices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_service.http.devices import PROGRAMS, SYSTEMS, device_of
from outbox_relay.sms_segments import Alphabet, alphabet_of

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
ALL_NAMES = {name for _mark, name in (*PROGRAMS, *SYSTEMS)}


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox (Linux)"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/131.0.0.0 Safari/537.36", "Chrome (Windows)"),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/131.0 Safari/537.36 Edg/131.0", "Edge (Windows)"),
        (
            f"Mozilla/5.0 (Linux; Android 14) {WEBKIT} SamsungBrowser/27.0 Chrome/125.0 Mobile Safari/537.36",
            "Samsung Internet (Android)",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1 Version/18.1 Safari/604.1",
            "Safari (iPhone)",
        ),
        ("Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1 CriOS/131.0 Safari/604.1", "Chrome (iPad)"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1 Version/18.1 Safari/605.1",
            "Safari (macOS)",
        ),
        ("Acme/7 CFNetwork/1568.200.51 Darwin/24.1.0", "CFNetwork (Apple)"),
        ("okhttp/4.12.0", "okhttp"),
        ("curl/8.5.0", "curl"),
        ("https://evil.example is a device", None),
        ("", None),
    ],
)
def test_a_device_is_its_program_and_its_system_without_versions(user_agent: str, device: str | None) -> None:
    assert device_of(user_agent) == device


@given(user_agent=st.text() | st.lists(st.sampled_from([mark for mark, _ in (*PROGRAMS, *SYSTEMS)])).map(" ".join))
def test_a_device_contains_no_text_of_the_client_and_fits_an_sms(user_agent: str) -> None:
    device = device_of(user_agent)
    names = set((device or "").removesuffix(")").split(" (")) - {""}
    assert names <= ALL_NAMES
    assert alphabet_of(device or "") is Alphabet.GSM_7
