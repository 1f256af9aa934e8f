"""The way to a host: name lookup, proxy, TLS, each with a time limit."""
