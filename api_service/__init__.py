"""Step 1: HTTP request → validate → one transaction of {user, token, message} → answer.

A request travels downwards: ``cli`` starts ``server`` (gunicorn), which serves ``app``; ``app`` puts the
parts together and hands requests to ``routes``; these read them (``bodies``, ``schemas``), run one of the
``use_cases`` inside a transaction, wake the relays (``notifier``) and answer (``answers``, ``problems``).
No request ever talks to a mail server or an SMS gateway: that is the relay's work.
"""
