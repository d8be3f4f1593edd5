"""Classify what went wrong: whose fault is an SMTP reply, an HTTP status or a broken connection? No IO.

A mistake in our own configuration must never kill a message. So a failure is the provider's unless it is
plainly about the recipient or the content. The first matching rule of a table decides; docs/reference/failures.md
prints the tables.
"""
