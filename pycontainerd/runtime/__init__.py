"""Bundles, shims, tasks and their recovery."""
