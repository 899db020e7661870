"""Tests of the networks' pure parts, and of what needs no privileges."""
