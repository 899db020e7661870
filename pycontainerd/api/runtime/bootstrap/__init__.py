"""Generated from `proto/pycontainerd/api/runtime/bootstrap`; do not edit."""
