"""Generated from `proto/pycontainerd/api/sandbox/v1`; do not edit."""
