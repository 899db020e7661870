"""The daemon, its engines and the client library; see ARCHITECTURE.md for the layers."""
