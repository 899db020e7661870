"""The composition root and the daemon's command line."""
