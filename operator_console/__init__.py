"""The operator console: queries and actions on the outbox, from the command line, over HTTP and on pages.

``cli`` and ``web`` use ``actions``, which use ``queries``; all share ``filters``, ``views`` and ``errors``. The console
is a separate process with a separate database role. The API does not import it, and so cannot requeue a message.
"""
