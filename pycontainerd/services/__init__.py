"""One translator a noun between the wire and the engines."""
