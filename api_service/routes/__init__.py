"""One module for each face: ``registrations`` · ``activations`` · ``activation_page`` · ``operations``."""
