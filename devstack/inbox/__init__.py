"""Where the messages of a devstack arrive: one process that is a mail server and an SMS gateway.

``process`` starts both · ``smtp`` and ``gateway`` take messages in · ``store`` keeps them in a folder
· ``refusals`` says who is turned away · ``reading`` makes sense of what was kept · ``pages`` shows it
· ``gallery`` shows every message that there is · ``client`` asks it all over HTTP.
"""
