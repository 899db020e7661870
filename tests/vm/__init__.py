"""Runs only inside the virtual machine of `make test-vm`."""
