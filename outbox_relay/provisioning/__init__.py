"""Provision, check and drop organizations' databases on their server, without access to Signpost's own database."""
