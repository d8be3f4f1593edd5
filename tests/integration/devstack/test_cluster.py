from pathlib import Path

import pytest

from devstack.cluster import Cluster, ClusterError, embedded_binaries


def test_a_server_that_is_never_entered_leaves_nothing() -> None:
    assert not Cluster(embedded_binaries()).folder.exists()


def test_a_server_that_does_not_come_up_leaves_nothing() -> None:
    cluster = Cluster(embedded_binaries(), settings={"no_such_setting": "on"})
    with pytest.raises(ClusterError), cluster:
        pass
    assert not cluster.folder.exists()


def test_a_server_without_its_programs_leaves_nothing(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    with pytest.raises(OSError, match="initdb"), cluster:
        pass
    assert not cluster.folder.exists()
