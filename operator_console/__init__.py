"""Look and act: what operators see of the outbox, and the few things they may change.

Read downwards: ``cli`` · ``reading``, ``acting`` · ``settings``. Its own process, its own database
role; the API never imports it, and so cannot revive a message.
"""
