"""The contract: all that the processes must agree on, and nothing else.

``vocabulary`` the words · ``settings`` how each process reads its environment · ``models`` the tables
· ``enqueue`` adding a message to the caller's transaction · ``secrets`` deriving codes and links
· ``addresses`` one form per address · ``masks`` what is shown of one · ``database``, ``engine``, ``sessions``,
``outage`` connections and their errors · ``log`` one line per event · ``web`` what those stand on that serve HTTP.
This package imports none of the services.
"""
