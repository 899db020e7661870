"""Generated from `proto/pycontainerd/api`; do not edit."""
