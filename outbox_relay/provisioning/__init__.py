"""Provision, check and drop organizations' databases on their server, without access to Signpost's own database."""

from outbox_relay.provisioning.inspection import check
from outbox_relay.provisioning.model import Health, Organization, Step, StepFailedError, StepLog
from outbox_relay.provisioning.provision import drop, ensure_template, preflight, provision
from outbox_relay.provisioning.server import CONNECTIONS_PER_ORGANIZATION, ProvisionServer

__all__ = [
    "CONNECTIONS_PER_ORGANIZATION",
    "Health",
    "Organization",
    "ProvisionServer",
    "Step",
    "StepFailedError",
    "StepLog",
    "check",
    "drop",
    "ensure_template",
    "preflight",
    "provision",
]
