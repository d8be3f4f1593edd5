"""What a request is called, in its answer and in every line of the log about it."""

import re
from uuid import uuid4

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id_for(offered: str | None) -> str:
    """Return the client's id for the request, if it is harmless in a header and a log; else a new one."""
    return offered if offered and _REQUEST_ID.fullmatch(offered) else str(uuid4())
