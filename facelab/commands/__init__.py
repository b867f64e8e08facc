"""One file a command; each exposes `command`. `common` holds what they share."""
