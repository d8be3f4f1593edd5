"""The contract: all that the processes must agree on, and nothing else.

``vocabulary`` the words · ``settings`` how each process reads its environment · ``models`` the tables
· ``enqueue`` adding a message to the caller's transaction · ``secrets`` deriving codes and links
· ``addresses`` one form per address, and its mask · ``database``, ``engine``, ``sessions``, ``outage``
connections and their errors · ``log`` one line per event. This package imports none of the services.
"""
