"""Where images, boxes, labels and pairs come from: synthetic faces and loaders of public layouts.

- `synthetic`: faces, scenes and spoofs without a download (`sample`, `scene`, `generate`, `write_set`);
- `load_fer2013`, `load_image_folder`: labelled pictures of emotions; `labels` maps their class names;
- `load_pairs`, `load_bin`, `load_embeddings`, `find_images`, `sklearn_folder`: LFW and its relatives;
- `load_ground_truth`, `load_predictions`, `write_predictions`, `attribute_masks`, `size_masks`: WIDER FACE.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submodules=["labels", "synthetic"],
    submod_attrs={
        "_fer2013": ["FER2013_CLASSES", "load_fer2013", "load_ferplus"],
        "_image_folder": ["load_image_folder"],
        "_lfw": ["find_images", "load_bin", "load_embeddings", "load_pairs", "sklearn_folder"],
        "_wider": [
            "attribute_masks",
            "load_ground_truth",
            "load_predictions",
            "size_masks",
            "write_predictions",
        ],
    },
)

__all__ = [
    "FER2013_CLASSES",
    "attribute_masks",
    "find_images",
    "labels",
    "load_bin",
    "load_embeddings",
    "load_fer2013",
    "load_ferplus",
    "load_ground_truth",
    "load_image_folder",
    "load_pairs",
    "load_predictions",
    "size_masks",
    "sklearn_folder",
    "synthetic",
    "write_predictions",
]
