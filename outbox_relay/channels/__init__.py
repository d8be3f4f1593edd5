"""One folder or file per way of delivering; ``base`` is all that they have in common."""
