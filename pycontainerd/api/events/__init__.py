"""Generated from `proto/pycontainerd/api/events`; do not edit."""
