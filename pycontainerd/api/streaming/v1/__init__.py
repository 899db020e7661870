"""Generated from `proto/pycontainerd/api/streaming/v1`; do not edit."""
