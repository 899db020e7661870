"""Generated from `proto/pycontainerd/api/grpc`; do not edit."""
