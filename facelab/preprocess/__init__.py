"""What is done to an image before a model sees it: the spec, who carries it out, and alignment."""
