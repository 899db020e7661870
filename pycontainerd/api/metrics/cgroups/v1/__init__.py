"""Generated from `proto/pycontainerd/api/metrics/cgroups/v1`; do not edit."""
