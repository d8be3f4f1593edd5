"""The numbered files."""
