"""Reports on the relay's health: the HTTP server for probes, the stall detector and the watchdog."""
