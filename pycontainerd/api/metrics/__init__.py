"""Generated from `proto/pycontainerd/api/metrics`; do not edit."""
