"""SQLite metadata and the blob directory: the state that survives a crash."""
