"""One file per command; each exposes `command`. `common` holds what they share."""
