"""HTTP parts that the API and the operators' console share. Slow to import, so other processes do not."""
