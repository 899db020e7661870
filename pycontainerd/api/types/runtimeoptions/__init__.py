"""Generated from `proto/pycontainerd/api/types/runtimeoptions`; do not edit."""
