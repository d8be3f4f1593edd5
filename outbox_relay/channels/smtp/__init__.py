"""E-mail over SMTP on connections that stay open.

Read ``session`` first (opening connections), then ``delivery`` (message after message), then ``connection`` (bytes and
replies). ``login``, ``sasl`` and ``tokens`` are about logins.
"""
