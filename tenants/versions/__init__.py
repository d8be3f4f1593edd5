"""Migrations of organizations' databases."""
