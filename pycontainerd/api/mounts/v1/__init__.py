"""Generated from `proto/pycontainerd/api/mounts/v1`; do not edit."""
