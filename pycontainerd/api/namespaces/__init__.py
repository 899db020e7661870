"""Generated from `proto/pycontainerd/api/namespaces`; do not edit."""
