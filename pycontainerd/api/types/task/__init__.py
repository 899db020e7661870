"""Generated from `proto/pycontainerd/api/types/task`; do not edit."""
