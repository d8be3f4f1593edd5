"""The relay's channel for organizations: a message that makes or repairs an organization's database."""
