"""Receivers of delivery reports: they store the reports of mail servers and providers, and have no other right."""
