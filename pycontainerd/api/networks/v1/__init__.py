"""Generated from `proto/pycontainerd/api/networks/v1`; do not edit."""
