"""Checks before a release: version, changelog, dependencies, and the upgrade from the previous release."""
