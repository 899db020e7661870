"""Generated from `proto/pycontainerd/api/grpc/reflection`; do not edit."""
