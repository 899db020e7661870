"""Generated from `proto/pycontainerd/api/archive/v1`; do not edit."""
