"""Generated from `proto/pycontainerd/api/runtime/task/v2`; do not edit."""
