"""The relay: claims messages from the outbox, delivers them through providers, and settles them.

Read in this order: ``cli`` · ``daemon`` and ``once`` (processes) · ``bootstrap`` (composition) · ``delivery.relay`` ·
``delivery.queue_consumer`` (one for each channel and priority) · ``outbox.claim`` · ``delivery.message_source`` ·
``providers.pool`` · ``channels`` · ``delivery.retry_policy`` · ``outbox.settle``.
"""
