"""Generated from `proto/pycontainerd/api/images`; do not edit."""
