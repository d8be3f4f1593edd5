"""One module for each face, with its views: what they read, which use case they run, how they answer.

``registrations`` · ``activations`` · ``activation_page``, and its words · ``sessions`` · ``password_resets`` · ``me``,
``account`` what is a user's own · ``documentation`` · ``operations``.
"""
