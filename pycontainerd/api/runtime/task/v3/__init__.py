"""Generated from `proto/pycontainerd/api/runtime/task/v3`; do not edit."""
