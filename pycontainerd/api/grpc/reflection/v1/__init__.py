"""Generated from `proto/pycontainerd/api/grpc/reflection/v1`; do not edit."""
