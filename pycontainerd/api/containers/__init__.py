"""Generated from `proto/pycontainerd/api/containers`; do not edit."""
