"""What operators may see. Nothing here changes anything, and addresses are masked unless they were revealed."""

from operator_console.reading.actions import list_actions
from operator_console.reading.causes import list_causes, list_causes_at
from operator_console.reading.messages import list_messages, search_messages, show_message
from operator_console.reading.organizations import list_organizations, show_organization
from operator_console.reading.providers import list_providers
from operator_console.reading.relays import list_relays
from operator_console.reading.stats import stats

__all__ = [
    "list_actions",
    "list_causes",
    "list_causes_at",
    "list_messages",
    "list_organizations",
    "list_providers",
    "list_relays",
    "search_messages",
    "show_message",
    "show_organization",
    "stats",
]
