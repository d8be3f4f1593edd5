"""SMS over SMPP 3.4, the protocol of mobile carriers.

Read ``session`` first (submitting messages), then ``connection`` (one bind, and the PDUs sent over it).
"""
