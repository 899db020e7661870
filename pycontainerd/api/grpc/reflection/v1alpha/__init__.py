"""Generated from `proto/pycontainerd/api/grpc/reflection/v1alpha`; do not edit."""
