"""SMS over Kannel's sendsms: ``api`` asks and understands, ``words`` says whose fault a refusal is."""
