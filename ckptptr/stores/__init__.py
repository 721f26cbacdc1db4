"""Where bytes live: one small port, and an adapter for each kind of store."""
