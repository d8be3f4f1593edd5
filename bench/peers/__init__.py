"""Other projects doing the relay's work, with one small program for each.

Every program has four commands: ``install COUNT`` creates its tables and enqueues that many messages, ``enqueue
COUNT`` enqueues more, ``trickle COUNT PAUSE`` enqueues one after the other and prints when, and ``work`` delivers until
SIGTERM. The programs run in their own environment (``make bench-peers``), read a configuration file, and count
handled messages in a file per process.
"""
