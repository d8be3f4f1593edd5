"""The database of each organization: what it is called, which tables it has, and how it is brought up to date.

Read downwards: ``cli`` · ``everyone`` (all databases at once) · ``commands`` (one, by alembic) · ``revisions``,
``naming`` · ``versions`` (the numbered files). The relay imports ``naming`` and ``revisions`` only, and so starts
without alembic; what needs that runs in a process of its own.
"""
