"""A container's standard streams: where they come from and go to."""
