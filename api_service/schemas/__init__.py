"""Schemas of request and response bodies, and serializers."""
