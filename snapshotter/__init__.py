"""Snapshot drivers: where the layers of a root filesystem live."""
