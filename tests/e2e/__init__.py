"""The whole program, on a real daemon with real containers."""
