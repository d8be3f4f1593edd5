"""Runs periodic work: partitions, retention and operator digests."""
