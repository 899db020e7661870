"""Generated from `proto/pycontainerd/api/runtime/sandbox`; do not edit."""
