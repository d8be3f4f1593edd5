"""Reads and writes the outbox table: claims, settlements and the notifications around them."""
