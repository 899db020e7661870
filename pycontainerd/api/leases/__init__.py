"""Generated from `proto/pycontainerd/api/leases`; do not edit."""
