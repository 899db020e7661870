"""System calls and what stands right on them."""
