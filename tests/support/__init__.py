"""Fixtures that start real parts and tear them down."""
