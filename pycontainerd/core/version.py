"""The version of this product."""

VERSION = "0.1.0"
"""Semantic version; the distribution's metadata carries the same."""
