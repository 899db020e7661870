"""Unit tests of pycontainerd.services."""
