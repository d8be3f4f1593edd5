import pytest

from bench.claiming import BATCH, WARM_UP
from bench.contest import FEWEST, QUICK_SHARES, SHARES
from bench.desk import A_PAGE, ONE_DEAD_IN
from bench.peers.errand import Form
from bench.sizes import FULL, QUICK, Size

each_size = pytest.mark.parametrize("size", [FULL, QUICK], ids=["full", "quick"])


@each_size
def test_claims_beside_a_backlog_do_not_use_it_up(size: Size) -> None:
    claims = WARM_UP + size.claims + size.claims // 10
    assert claims * BATCH < size.beside.pending


@each_size
def test_the_desk_has_a_last_page_beside_its_first(size: Size) -> None:
    assert size.beside.settled // ONE_DEAD_IN >= 2 * A_PAGE


@each_size
def test_a_peer_is_given_as_many_messages_to_begin_with_as_to_go_on(size: Size) -> None:
    # A look is at the strongest alone, which are quick.
    shares = [QUICK_SHARES] if size.is_look else [SHARES, QUICK_SHARES]
    assert min(size.peer_messages // share[form] for share in shares for form in Form) >= FEWEST


def test_what_is_compared_with_peers_is_measured_five_times_at_least() -> None:
    least = 5
    assert FULL.rounds >= least
    assert not FULL.is_look
