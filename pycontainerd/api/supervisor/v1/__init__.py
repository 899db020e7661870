"""Generated from `proto/pycontainerd/api/supervisor/v1`; do not edit."""
