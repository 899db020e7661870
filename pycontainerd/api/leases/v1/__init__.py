"""Generated from `proto/pycontainerd/api/leases/v1`; do not edit."""
