"""Tests: what hostile images, clients and neighbours may not do."""
