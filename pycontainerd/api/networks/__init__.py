"""Generated from `proto/pycontainerd/api/networks`; do not edit."""
