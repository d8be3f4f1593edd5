"""Look and act: what operators see of the outbox, and the few things they may change.

Read downwards: ``cli``, ``web`` · ``operator_tokens`` · ``acting`` · ``reading`` · ``filters``, ``reasons`` what is
asked, ``views``, ``organization_views`` what is shown · ``settings``. Its own process, its own database role; the API
never imports it, and so cannot revive a message.
"""
