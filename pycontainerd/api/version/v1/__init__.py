"""Generated from `proto/pycontainerd/api/version/v1`; do not edit."""
