"""Level 2: stations share one limit. Pure machines of both sides, without network and clock (`docs/cluster.md`)."""
