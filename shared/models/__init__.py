"""The tables, as every process sees them; the numbered files in migrations make them.

Each moment is PostgreSQL's: the processes compare times that others wrote, and their clocks differ.
"""

from shared.models.accounts import SessionRow, Token, User
from shared.models.base import Base, Word
from shared.models.console import ConsoleSession
from shared.models.desk import BulkActRow, OperatorAction, OperatorToken, SettledByHour
from shared.models.fleet import FallbackBudget, ProviderRow, RelayRow, ToldCause, UpkeepLease
from shared.models.guards import KeptAnswer, RateLimit
from shared.models.organizations import Organization, OrganizationLoss, OrganizationStep
from shared.models.outbox import DeliveryAttempt, OutboxMessage

__all__ = [
    "Base",
    "BulkActRow",
    "ConsoleSession",
    "DeliveryAttempt",
    "FallbackBudget",
    "KeptAnswer",
    "OperatorAction",
    "OperatorToken",
    "Organization",
    "OrganizationLoss",
    "OrganizationStep",
    "OutboxMessage",
    "ProviderRow",
    "RateLimit",
    "RelayRow",
    "SessionRow",
    "SettledByHour",
    "Token",
    "ToldCause",
    "UpkeepLease",
    "User",
    "Word",
]
