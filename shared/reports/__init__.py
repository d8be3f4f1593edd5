"""What a mail server, a mobile network or a provider says about a message after it was accepted."""
