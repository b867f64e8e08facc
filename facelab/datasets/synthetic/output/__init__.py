"""Sets on disk: pictures, labels, manifest, annotations, contact sheet."""
