"""Generated from `proto/pycontainerd/api/snapshots/v1`; do not edit."""
