"""Generated from `proto/pycontainerd/api/traces/v1`; do not edit."""
