"""Deliver messages to providers: interfaces in ``base``, the registry in ``urls``, one module or folder for each kind.

A provider consists of a module and an entry point. The entry point is a line in the group ``signpost.providers`` of a
package's pyproject.toml. It maps the scheme of the provider's URL to a ``urls.ProviderScheme``.
"""
