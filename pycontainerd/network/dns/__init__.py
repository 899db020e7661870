"""Names of containers: the responder process, and the daemon's side of it."""
