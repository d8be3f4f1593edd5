"""HTTP routes: each view validates the request, runs a use case in a transaction and returns a response."""
