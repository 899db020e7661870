"""Generated from `proto/pycontainerd/api/types/transfer`; do not edit."""
