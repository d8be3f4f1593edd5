"""Who acts at the command line, and why, as it is written down."""

import os
import pwd
from contextlib import suppress
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from operator_console.acting import Act, note_reveal
from operator_console.reasons import is_showable


def act_because(reason: str) -> Act:
    """Return an act of whoever is logged in on this machine."""
    return Act(operator=_user(), reason=reason)


def _user() -> str:
    with suppress(KeyError):  # no name goes with the uid, as in a container
        if is_showable(user := pwd.getpwuid(os.getuid()).pw_name):  # what LOGNAME says is anybody's to choose
            return user
    return f"uid {os.getuid()}"


def write_down_look(made: sessionmaker[Session], reason: str, **looked_at: Any) -> None:
    """Leave an audit row of a look at addresses, in a transaction of its own: before anything is shown."""
    with made.begin() as session:
        note_reveal(session, act_because(reason), **looked_at)
