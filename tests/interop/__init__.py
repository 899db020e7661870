"""Other people's clients, daemons and shims."""
