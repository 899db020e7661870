"""Generated from `proto/pycontainerd/api/runtime/bootstrap/v1`; do not edit."""
