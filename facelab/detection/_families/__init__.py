"""One file per detector family; the file's name is the family's, and it exports `DETECTOR`."""

import pkgutil

NAMES = sorted(m.name for m in pkgutil.iter_modules(__path__))
