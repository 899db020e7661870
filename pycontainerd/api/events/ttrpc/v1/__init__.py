"""Generated from `proto/pycontainerd/api/events/ttrpc/v1`; do not edit."""
