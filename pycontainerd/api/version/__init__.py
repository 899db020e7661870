"""Generated from `proto/pycontainerd/api/version`; do not edit."""
