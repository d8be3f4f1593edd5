"""Bounces by mail: taken over LMTP or fetched over IMAP, read, and stored as delivery reports."""
