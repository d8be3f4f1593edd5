"""The database's history: numbered files, each able to run while the previous release still serves."""
