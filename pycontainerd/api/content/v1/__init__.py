"""Generated from `proto/pycontainerd/api/content/v1`; do not edit."""
