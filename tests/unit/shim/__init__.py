"""The shim's pure parts."""
