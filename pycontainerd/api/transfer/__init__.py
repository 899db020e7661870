"""Generated from `proto/pycontainerd/api/transfer`; do not edit."""
