"""What the gateways that speak HTTP have in common; ``session`` is all of it."""
