"""Generated from `proto/pycontainerd/api/images/v1`; do not edit."""
