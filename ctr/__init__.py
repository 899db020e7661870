"""pyctr, the client people type at: one file a verb."""
