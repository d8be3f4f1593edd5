"""The folder into which the processes of a service write their metrics, so that one can merge them."""

import os
import shutil
import tempfile
from typing import Any

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Not a user's setting. prometheus_client reads it when it is imported."""


def create_metrics_folder() -> None:
    """Create the folder for this process and those that it forks. Call it before importing prometheus_client."""
    os.environ[VARIABLE] = tempfile.mkdtemp(prefix="signpost-metrics-")


def remove_metrics_folder(_arbiter: Any) -> None:
    """Remove the folder. For gunicorn's ``on_exit``, which runs in the parent process."""
    shutil.rmtree(os.environ[VARIABLE], ignore_errors=True)
