"""The devstack's inbox: one process with a mail server, an SMS gateway and pages that show the received messages.

``process`` starts the servers. ``smtp`` and ``gateway`` receive messages, ``store`` writes them to a folder, and
``refusals`` lists rejected addresses. ``reading`` parses messages, ``pages`` shows them, and ``gallery`` shows all
templates. ``client`` is an HTTP client for the demo and the tests.
"""
