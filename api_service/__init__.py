"""The HTTP API: register users, prove addresses, manage accounts.

``cli`` starts ``server`` (gunicorn), which serves ``app``. ``app`` builds the ``services`` and registers the
``routes``. A route validates the request (``schemas``), runs one of the ``use_cases`` in a transaction, wakes the
relays (``outbox_signals``) and returns a response. ``http`` holds what routes share. The API never contacts a mail
server or an SMS gateway: the relay does.
"""
