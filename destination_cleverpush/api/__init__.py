"""CleverPush over HTTP: one call, made once, and what its answer means."""
