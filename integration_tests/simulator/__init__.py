"""CleverPush as far as it is publicly known, as an HTTP server: strict where the facts are, never more lenient.

`model` holds what is in an account, `writes` and `reads` are the calls, `api` is all of them by route, without a
socket; `faults` decides what goes wrong, `server` puts both on a socket, and `process` starts it for tests.
"""
