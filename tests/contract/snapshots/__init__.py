"""Snapshots: one suite for every driver, through the real store."""
