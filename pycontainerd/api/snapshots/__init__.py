"""Generated from `proto/pycontainerd/api/snapshots`; do not edit."""
