"""One file a family of addresses: ``v1_…`` for scripts, the others for people."""
