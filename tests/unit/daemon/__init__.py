"""Unit tests of pycontainerd.daemon."""
