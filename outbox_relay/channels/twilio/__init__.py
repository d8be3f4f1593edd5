"""SMS over Twilio's REST API: ``api`` asks and understands, ``errors`` says whose fault a refusal is."""
