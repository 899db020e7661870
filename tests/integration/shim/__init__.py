"""A real shim, forked by a real template, driving a real runtime."""
