"""The benchmark: compares Signpost with other projects that do the same work. Run it with ``python -m bench``."""
