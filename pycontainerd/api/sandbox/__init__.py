"""Generated from `proto/pycontainerd/api/sandbox`; do not edit."""
