"""Generated from `proto/pycontainerd/api/attach`; do not edit."""
