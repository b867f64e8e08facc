"""What keeps killed processes and strangers' files from doing harm: temporary folders with owners, first tries."""
