"""Generated from `proto/pycontainerd/api/supervisor`; do not edit."""
