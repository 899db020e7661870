"""Generated from `proto/pycontainerd/api/tasks`; do not edit."""
