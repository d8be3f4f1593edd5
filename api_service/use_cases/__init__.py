"""What people come for, each in a handful of lines.

``register`` · ``look_up`` · ``resend`` · ``activate`` · ``decline`` · ``sign_in`` · ``sessions`` · ``reset_password``
· ``change_address`` · ``personal_data``.

They work inside the caller's session and know nothing of HTTP. What several of them do: ``addresses`` · ``tokens``,
and ``account_codes`` about an address · ``codes`` trying them · ``notices`` · ``organizations`` · ``proof`` of who is
signed in · ``locking`` · ``kept_answers`` for a repeated request.
"""
