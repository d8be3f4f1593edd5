"""An outage whose log events tests can read."""

from typing import Any

import structlog
from structlog.testing import LogCapture

from shared.db.errors import Outage


class RecordedOutage(Outage):
    """An outage that records its log events as (level, event)."""

    def __init__(self) -> None:
        self._capture = LogCapture()
        log: Any = structlog.wrap_logger(None, processors=[self._capture], wrapper_class=structlog.stdlib.BoundLogger)
        super().__init__(log, "claim")

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(line["log_level"], line["event"]) for line in self._capture.entries]
