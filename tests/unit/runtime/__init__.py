"""Tests of the runtime engine that need no root."""
