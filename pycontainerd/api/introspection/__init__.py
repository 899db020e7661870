"""Generated from `proto/pycontainerd/api/introspection`; do not edit."""
