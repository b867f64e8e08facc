"""One file an embedder family; the file's name is the family's, and it exports `EMBEDDER`."""
