"""The console's HTTP process: JSON for scripts under /v1 (``api``), and pages for people (``routes``)."""
