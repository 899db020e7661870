"""Generated from `proto/pycontainerd/api/runtime`; do not edit."""
