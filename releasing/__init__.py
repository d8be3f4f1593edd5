"""What a release takes: its version and changelog looked at, what it depends on, and the step from the last one."""
