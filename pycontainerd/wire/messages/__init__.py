"""Message classes of the small codec, one module a noun; written by `proto/generate.py`, do not edit."""
