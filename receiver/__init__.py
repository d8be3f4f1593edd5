"""Receivers of delivery reports: they store what mail servers and providers report, and can do nothing else."""
