"""Where images, boxes, labels and pairs come from: synthetic faces and loaders of public layouts."""
