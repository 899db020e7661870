"""Values, decisions and the Protocols by which engines meet; does no I/O."""
