"""The real daemon, shim and runtime, as root."""
