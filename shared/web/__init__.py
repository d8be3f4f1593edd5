"""What whoever serves HTTP stands on: the API and the operators' console read and refuse alike.

``refusals`` why an asker does not get it · ``kinds`` what is said of that · ``problems`` the answer · ``bearer`` who
asks · ``bodies`` reading strictly · ``observing`` what happens around every request · ``readiness`` what is lacking
· ``app`` Flask · ``server`` and ``worker`` gunicorn · ``client_socket`` what keeps its threads free. Each service adds
its own codes and words; processes that serve no pages leave all of this alone, for it takes a while to import.
"""
