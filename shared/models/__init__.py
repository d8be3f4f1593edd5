"""The tables as SQLAlchemy models. The migrations create them.

All times come from PostgreSQL's clock: processes compare times that others wrote, and their clocks differ.
"""

from shared.models.accounts import SessionRow, Token, User
from shared.models.base import Base, EnumText
from shared.models.limits import KeptAnswer, RateLimit
from shared.models.operators import BulkActRow, ConsoleSession, OperatorAction, OperatorToken, SettledByHour
from shared.models.organizations import Organization, OrganizationLoss, OrganizationStep
from shared.models.outbox import DeliveryAttempt, OutboxMessage
from shared.models.relays import FallbackBudget, ProviderRow, RelayRow, ToldCause, UpkeepLease

__all__ = [
    "Base",
    "BulkActRow",
    "ConsoleSession",
    "DeliveryAttempt",
    "EnumText",
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
]
