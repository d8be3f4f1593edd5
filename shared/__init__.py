"""The contract: all that the processes must agree on, and nothing else.

``vocabulary`` the words · ``settings``, ``command_line`` how each process reads its environment and its arguments
· ``models`` the tables · ``migrating`` how schemas come up to date · ``enqueue`` adding a message to the caller's
transaction · ``ids``, ``uuid7`` ids in the order of time · ``secrets`` deriving codes and links · ``addresses`` one
form per address · ``masks`` what is shown of one · ``organizations`` what their databases are called · ``urls``,
``strict_json`` reading what comes from outside · ``database``, ``unreached``, ``engine``, ``sessions``, ``outage``
connections and their errors · ``log`` one line per event · ``tracing``, ``telemetry``, ``otel`` traces · ``cores``
how many there are · ``web`` what those stand on that serve HTTP. This package imports none of the services.
"""
