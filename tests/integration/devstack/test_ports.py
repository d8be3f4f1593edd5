import socket
from dataclasses import astuple

from devstack.ports import LOOPBACK, Ports, free_ports


def test_a_wished_port_is_taken_where_it_is_free_and_replaced_where_not() -> None:
    wished = free_ports()
    with socket.socket() as taken:
        taken.bind((LOOPBACK, wished.api))
        taken.listen()
        found = free_ports(wished)
    assert found.api != wished.api
    assert (found.relay, found.inbox_http, found.inbox_smtp) == (wished.relay, wished.inbox_http, wished.inbox_smtp)


def test_no_port_is_given_out_twice() -> None:
    same = free_ports().api
    assert len(set(astuple(free_ports(Ports(*[same] * 5))))) == 5
