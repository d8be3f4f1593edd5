"""The operator console: queries and actions on the outbox, from the command line, over HTTP and on pages.

``cli`` and ``web`` use ``actions``, which use ``queries``; all share ``filters``, ``views`` and ``errors``. The console
is a process of its own with a database role of its own. The API does not import it, and so cannot requeue a message.
"""
