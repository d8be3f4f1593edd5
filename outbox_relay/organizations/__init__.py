"""The relay's channel for organizations: its messages tell nobody anything, but have a database made.

``channel`` (what stands where others have a mail server) · ``founding`` (from a message to the organization, and how
far it has come) · ``decoys`` · ``settles`` (what follows an outcome, in its transaction) · ``leftovers`` (what was half
built is dropped) · ``inspecting`` (what is built is looked after). ``outbox_relay.provisioning`` knows the server of
the organizations, and nothing of this.
"""
