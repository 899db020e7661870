"""Generated from `proto/pycontainerd/api/containers/v1`; do not edit."""
