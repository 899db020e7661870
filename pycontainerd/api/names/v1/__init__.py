"""Generated from `proto/pycontainerd/api/names/v1`; do not edit."""
