"""Registry client, pull, unpack, archives and layer diffs."""
