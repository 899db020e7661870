"""Generated from `proto/pycontainerd/api/events/ttrpc`; do not edit."""
