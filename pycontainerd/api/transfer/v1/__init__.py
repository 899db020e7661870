"""Generated from `proto/pycontainerd/api/transfer/v1`; do not edit."""
