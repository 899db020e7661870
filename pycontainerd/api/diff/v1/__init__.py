"""Generated from `proto/pycontainerd/api/diff/v1`; do not edit."""
