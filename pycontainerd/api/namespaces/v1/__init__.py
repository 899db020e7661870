"""Generated from `proto/pycontainerd/api/namespaces/v1`; do not edit."""
