"""Random and hostile inputs for everything that strangers may send: see ``driver``; ``./scripts/fuzz`` runs it."""
