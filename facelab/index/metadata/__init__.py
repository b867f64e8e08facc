"""Metadata by compare-and-swap: one contract, SQLite by default, etcd where several machines share an index."""
