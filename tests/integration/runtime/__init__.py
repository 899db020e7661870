"""Tests of the runtime engine with real shims and OCI runtimes."""
