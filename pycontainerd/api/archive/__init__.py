"""Generated from `proto/pycontainerd/api/archive`; do not edit."""
