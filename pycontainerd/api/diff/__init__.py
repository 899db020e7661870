"""Generated from `proto/pycontainerd/api/diff`; do not edit."""
