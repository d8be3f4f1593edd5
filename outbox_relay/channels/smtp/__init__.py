"""Mail over SMTP on connections that are kept warm.

Read downwards: ``session`` (what the relay holds) · ``dialogue`` (from connecting to logged in) ·
``delivery`` (letter after letter) · ``connection`` (bytes out, replies in) · ``envelope``, ``replies`` (pure).
"""
