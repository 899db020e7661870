"""Generated from `proto/pycontainerd/api/grpc/health`; do not edit."""
