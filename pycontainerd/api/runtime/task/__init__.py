"""Generated from `proto/pycontainerd/api/runtime/task`; do not edit."""
