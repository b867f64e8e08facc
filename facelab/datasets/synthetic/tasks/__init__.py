"""What each set shows: recipes of faces, scenes, live and spoofed faces, pairs."""
