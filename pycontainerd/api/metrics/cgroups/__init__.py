"""Generated from `proto/pycontainerd/api/metrics/cgroups`; do not edit."""
