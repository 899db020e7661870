"""Generated from `proto/pycontainerd/api/ttrpc`; do not edit."""
