"""Generated from `proto/pycontainerd/api/traces`; do not edit."""
