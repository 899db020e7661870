"""Generated from `proto/pycontainerd/api/attach/v1`; do not edit."""
