"""Generated from `proto/pycontainerd/api/runtime/sandbox/v1`; do not edit."""
