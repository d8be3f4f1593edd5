"""The tables as SQLAlchemy models: columns and foreign keys.

The migrations create the tables, and ``migrations/sql/tables.sql`` has their constraints and indexes.

All times come from PostgreSQL's clock: processes compare times that others wrote, and their clocks differ.
"""

from shared.models.accounts import SessionRow, Token, User
from shared.models.base import Base, EnumText
from shared.models.limits import IdempotencyKey, RateLimit
from shared.models.operators import BulkActRow, ConsoleSession, HourlyStats, OperatorAction, OperatorToken
from shared.models.organizations import Organization, OrganizationLoss, OrganizationStep
from shared.models.outbox import DeliveryAttempt, OutboxMessage
from shared.models.relays import FallbackBudget, LeaderLease, ProviderRow, RelayRow, ReportedCause

__all__ = [
    "Base",
    "BulkActRow",
    "ConsoleSession",
    "DeliveryAttempt",
    "EnumText",
    "FallbackBudget",
    "HourlyStats",
    "IdempotencyKey",
    "LeaderLease",
    "OperatorAction",
    "OperatorToken",
    "Organization",
    "OrganizationLoss",
    "OrganizationStep",
    "OutboxMessage",
    "ProviderRow",
    "RateLimit",
    "RelayRow",
    "ReportedCause",
    "SessionRow",
    "Token",
    "User",
]
