"""Generated from `proto/pycontainerd/api/streaming`; do not edit."""
