"""The dead letter store: rejected rows kept as JSON Lines in a storage, and read again to be replayed."""
