import pytest

from api_service.http.client_ip import approximate_network, client_address, network_of

PEER = "203.0.113.9"


@pytest.mark.parametrize(
    ("forwarded_for", "proxies", "client"),
    [
        ("", 0, PEER),
        ("192.0.2.1", 0, PEER),
        ("192.0.2.1", 1, "192.0.2.1"),
        ("10.0.0.1, 192.0.2.1", 1, "192.0.2.1"),
        ("10.0.0.1, 192.0.2.1, 198.51.100.2", 2, "192.0.2.1"),
        ("", 1, PEER),
        ("192.0.2.1", 2, PEER),
        ("unknown", 1, PEER),
        ("192.0.2.1, ", 1, PEER),
        ("192.0.2.1:4711", 1, "192.0.2.1"),
        ("[2001:db8::1]:4711", 1, "2001:db8::1"),
        ("2001:DB8::1", 1, "2001:db8::1"),
        ("1.2.3.4\u00a0", 1, "1.2.3.4"),
        ("," * 5000, 1, PEER),
    ],
)
def test_only_forwarded_entries_of_trusted_proxies_count(forwarded_for: str, proxies: int, client: str) -> None:
    assert client_address(PEER, forwarded_for, proxies) == client


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("/run/api.sock", "unknown"),
    ],
)
def test_an_ipv4_client_is_its_address_and_an_ipv6_client_its_64(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.*"),
        ("::ffff:192.0.2.1", "192.0.2.*"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:*"),
        ("2001:db8::1", "2001:db8:0:*"),
        ("fe80::1%eth0", "fe80:0:0:*"),
        ("/run/api.sock", None),
    ],
)
def test_a_notice_shows_the_24_of_an_ipv4_client_and_the_48_of_an_ipv6_client(
    address: str, network: str | None
) -> None:
    assert approximate_network(address) == network
