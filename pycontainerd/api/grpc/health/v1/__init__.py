"""Generated from `proto/pycontainerd/api/grpc/health/v1`; do not edit."""
