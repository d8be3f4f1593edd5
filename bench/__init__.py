"""What this stack can do, beside what the machine can do."""
