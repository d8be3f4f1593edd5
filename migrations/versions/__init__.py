"""The numbered migrations, each in a transaction of its own."""
