from pathlib import Path

import pytest

from bench import peer_list
from bench.contest import absent
from bench.peer_list import PEERS, STRONGEST, Peer, peers_there

ROOT = Path(__file__).parents[3]


def test_a_peer_that_is_not_installed_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_list, "INSTALLED", tmp_path)
    assert absent() == dict.fromkeys((peer.name for peer in PEERS), "absent")


def test_a_peer_is_there_once_its_package_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_list, "INSTALLED", tmp_path)
    (tmp_path / "venv/lib/python3.11/site-packages/django_post_office-3.12.0.dist-info").mkdir(parents=True)
    assert not Peer("django-post-office", "django_post_office").is_absent


def test_a_look_at_the_strongest_takes_those_of_them_that_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_list, "INSTALLED", tmp_path)
    assert set(STRONGEST) < {peer.name for peer in PEERS}
    (tmp_path / "venv/lib/python3.11/site-packages/pgqueuer-0.1.dist-info").mkdir(parents=True)
    assert [peer.name for peer in peers_there()] == ["pgqueuer"]
    assert peers_there(only_strongest=True) == []


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_each_peer_has_a_program_and_a_pinned_version(peer: Peer) -> None:
    folder = ROOT / "bench" / "peers"
    assert (folder / peer.program).exists() or (folder / f"{peer.program}.py").exists()
    assert f"{peer.name}==" in (folder / "requirements.txt").read_text().replace("[redis]", "") or (
        f'"{peer.name}": "' in (folder / "package.json").read_text()
    )
