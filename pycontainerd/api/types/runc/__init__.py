"""Generated from `proto/pycontainerd/api/types/runc`; do not edit."""
