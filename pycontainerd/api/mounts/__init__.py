"""Generated from `proto/pycontainerd/api/mounts`; do not edit."""
