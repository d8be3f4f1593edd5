"""The benchmark: measures Signpost beside other projects that do the same work. Run it with ``python -m bench``."""
