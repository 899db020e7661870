"""The steps of `proto/generate.py`: protoc, the contract dump, the small codec's classes."""
