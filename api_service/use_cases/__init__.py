"""What people come for, each in a handful of lines.

``register`` · ``look_up`` · ``resend`` · ``activate`` · ``sign_in`` · ``sessions``.

They work inside the caller's session and know nothing of HTTP. ``addresses`` and ``tokens`` are what
several of them do.
"""
