"""SMS over a gateway that takes JSON: ``https+json://``."""
