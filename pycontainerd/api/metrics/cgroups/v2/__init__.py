"""Generated from `proto/pycontainerd/api/metrics/cgroups/v2`; do not edit."""
