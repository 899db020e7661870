"""Both transports, and errors turned into status codes, once."""
