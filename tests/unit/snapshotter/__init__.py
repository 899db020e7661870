"""Snapshot drivers."""
