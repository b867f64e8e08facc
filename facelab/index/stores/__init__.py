"""Vectors in PostgreSQL and Valkey, behind the contract that a collection keeps."""
