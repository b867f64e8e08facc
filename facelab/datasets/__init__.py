"""Where images, boxes, labels and pairs come from: synthetic faces and loaders of public layouts.

- `synthetic`: faces, scenes and spoofs without a download (`sample`, `scene`, `generate`, `write_set`);
- `load_fer2013`, `load_image_folder`: labelled pictures of emotions; `labels` maps their class names;
- `load_pairs`, `load_bin`, `load_embeddings`, `find_images`, `sklearn_folder`: LFW and its relatives;
- `load_ground_truth`, `load_predictions`, `write_predictions`, `attribute_masks`, `size_masks`: WIDER FACE.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
