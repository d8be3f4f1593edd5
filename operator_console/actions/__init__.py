"""Changes that operators may make. Each one adds an audit row in the same transaction, which the caller commits."""
