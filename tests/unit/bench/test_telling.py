from bench.telling import WAYS


def test_a_resend_is_of_what_the_same_client_has_registered_before() -> None:
    [ways] = [list(ways) for ways in WAYS.values() if "resend" in ways]
    assert ways.index("registration") < ways.index("resend")
