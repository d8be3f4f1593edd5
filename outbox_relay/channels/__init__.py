"""Deliver messages to providers: interfaces in ``base``, the registry in ``urls``, one module or folder for each kind.

A provider is one module and one entry point: a line in the group ``signpost.providers`` of a package's pyproject.toml
maps the scheme of its URL to a ``urls.ProviderScheme``.
"""
