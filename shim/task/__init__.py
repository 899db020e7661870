"""The task service, one verb a file."""
