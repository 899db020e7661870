"""Networks on a real kernel, in network namespaces of the tests' own."""
