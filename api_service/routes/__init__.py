"""One module for each face: registrations, activations, the activation page, sessions, me, operations."""
