"""Generated from `proto/pycontainerd/api/volumes/v1`; do not edit."""
