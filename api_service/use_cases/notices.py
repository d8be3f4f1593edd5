"""Notices: telling the holder of an account what was done with it, in the transaction that does it."""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from api_service.use_cases.addresses import proven_at, reached_at
from shared.enqueue import NewMessage, enqueue
from shared.models import User
from shared.vocabulary import Channel, Template


def notice(template: Template, user: User, channel: Channel) -> NewMessage:
    """Compose what tells the user of something done; it brings no code."""
    return NewMessage(
        template=template,
        channel=channel,
        recipient=reached_at(user, channel),
        locale=user.locale,
        payload={"name": user.full_name},
        user_id=user.id,
    )


def tell_everywhere(session: Session, template: Template, user: User) -> None:
    """Enqueue the notice to each address that the user has proven: one of them may be in other hands."""
    for channel in proven_channels(user):
        enqueue(session, notice(template, user, channel))


def proven_channels(user: User) -> Iterator[Channel]:
    """Tell on which channels the user has proven an address."""
    return (channel for channel in Channel if getattr(user, proven_at(channel).key) is not None)
