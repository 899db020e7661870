"""Generated from `proto/pycontainerd/api/content`; do not edit."""
