"""Other projects doing the relay's work: one small program each, told by `errand.json` what to do.

Each program knows three commands. `fill N` makes its tables and enqueues N messages in the way its
documentation has for many; `work` delivers until SIGTERM; `trickle N` enqueues N messages one at a time, with
the errand's pause in between. They run in an environment of their own (`make bench-peers`), and tell how far
they are in files: a tally for each process, and a line for each message whose latency is wanted.
"""
