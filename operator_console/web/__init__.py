"""The console over HTTP, as a process of its own: JSON for scripts under /v1, and pages for people.

Read downwards: ``cli`` · ``server``, ``app`` · ``routes`` · ``access`` says who asks · ``sessions`` · ``problems`` ·
``errors``. What can be looked at and changed is what outboxctl has, too: ``reading`` and ``acting``.
"""
