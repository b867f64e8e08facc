"""Collections in several shards: which shard an id belongs to, exact searches over all of them, and their upkeep."""
