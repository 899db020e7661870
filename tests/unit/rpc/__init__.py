"""Unit tests of pycontainerd.rpc."""
