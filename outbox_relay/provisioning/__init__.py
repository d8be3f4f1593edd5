"""A database for each organization: made in steps that may be begun again, looked after, and taken away.

Read downwards: ``provision`` (with ``knock``, ``prepare`` and ``drop``) · ``check`` · ``databases``, ``upgrading``,
``looking`` (what the steps do) · ``server`` (connections) · ``faults`` (whose fault it was) · ``organization`` (the
words). All of it knows the server of the organizations only; what is written in Signpost's own database is the caller's
affair.
"""

from outbox_relay.provisioning.check import check
from outbox_relay.provisioning.organization import (
    Health,
    Organization,
    Record,
    Step,
    StepFailedError,
)
from outbox_relay.provisioning.provision import drop, knock, prepare, provision
from outbox_relay.provisioning.server import CONNECTIONS_EACH, ProvisionServer

__all__ = [
    "CONNECTIONS_EACH",
    "Health",
    "Organization",
    "ProvisionServer",
    "Record",
    "Step",
    "StepFailedError",
    "check",
    "drop",
    "knock",
    "prepare",
    "provision",
]
