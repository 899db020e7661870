"""Generated from `proto/pycontainerd/api/events/v1`; do not edit."""
