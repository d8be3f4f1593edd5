"""Runs periodic work: partitions, retention, operator digests and heartbeats."""
