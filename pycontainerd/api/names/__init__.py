"""Generated from `proto/pycontainerd/api/names`; do not edit."""
