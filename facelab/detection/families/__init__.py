"""One file a detector family; the file's name is the family's, and it exports `DETECTOR`."""
