"""Generated from `proto/pycontainerd/api/introspection/v1`; do not edit."""
