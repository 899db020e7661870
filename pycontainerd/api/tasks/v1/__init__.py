"""Generated from `proto/pycontainerd/api/tasks/v1`; do not edit."""
