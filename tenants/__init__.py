"""The database of each organization: what it is called, which tables it has, and how it is brought up to date.

Read downwards: ``cli`` · ``passwords`` · ``databases`` (all at once) · ``helper`` · ``commands`` (one, by alembic)
· ``revisions``, ``naming`` · ``versions`` (the numbered files). The relay imports ``naming`` and ``revisions`` only,
and so starts without alembic; what needs that runs in a process of its own.
"""
