"""Tests of the wire contract and what is generated from it."""
