"""Generated from `proto/pycontainerd/api/history`; do not edit."""
