"""Writers and readers of logs together."""
