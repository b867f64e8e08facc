"""One file per embedder family; the file's name is the family's, and it exports `EMBEDDER`."""

import pkgutil

NAMES = sorted(m.name for m in pkgutil.iter_modules(__path__))
