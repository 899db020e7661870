"""System calls: each raises OSError with errno and path, and knows nothing of containers."""
