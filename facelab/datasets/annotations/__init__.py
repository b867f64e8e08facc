"""Labelled boxes in the published forms: COCO, Pascal VOC, YOLO, CVAT, WIDER FACE's text and CSV, read and written.

>>> from facelab.datasets.annotations import FORMATS
>>> sorted(FORMATS)
['coco', 'csv', 'cvat', 'voc', 'wider', 'yolo']
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
