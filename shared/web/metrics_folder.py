"""The folder into which the processes of a service write their metrics, so that one can merge them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Not a user's setting. prometheus_client reads it when it is imported."""


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Create the folder for this process and its forks. Import prometheus_client in the block."""
    os.environ[VARIABLE] = folder = tempfile.mkdtemp(prefix="signpost-metrics-")
    owner = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner:  # gunicorn's workers leave the block, too
            shutil.rmtree(folder, ignore_errors=True)
