"""One suite a Protocol, run on every implementation."""
