from pathlib import Path

import pytest

from tests.support.certificates import Authority, make_authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)
