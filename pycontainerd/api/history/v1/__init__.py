"""Generated from `proto/pycontainerd/api/history/v1`; do not edit."""
