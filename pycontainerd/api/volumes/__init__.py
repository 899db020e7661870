"""Generated from `proto/pycontainerd/api/volumes`; do not edit."""
