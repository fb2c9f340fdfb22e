"""CleverPush as far as it is publicly known, as an HTTP server: strict where the facts are, never more lenient.

`model` knows the API and nothing of HTTP servers, `faults` decides what goes wrong, `server` puts both on a socket,
and `process` starts it for tests.
"""
