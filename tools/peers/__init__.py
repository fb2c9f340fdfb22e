"""This connector beside its peers: the same rows against the same server, in turn: `make bench-peers`."""
