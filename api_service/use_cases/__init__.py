"""One module per use case, besides the parts that they share.

They work in the caller's session and are independent of HTTP. Shared parts: ``users``, ``tokens``,
``account_codes``, ``organizations``, ``reauthentication``.
"""
