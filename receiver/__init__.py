"""Takes reports about sent messages from outside. Can do nothing but store them."""
