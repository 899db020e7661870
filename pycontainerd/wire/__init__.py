"""The floor that shim and client stand on: a small protobuf codec, ttrpc, failpoints; nothing here imports protobuf."""
