"""Sandboxes, endpoints and networks."""
