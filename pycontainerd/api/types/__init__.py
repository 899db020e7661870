"""Generated from `proto/pycontainerd/api/types`; do not edit."""
