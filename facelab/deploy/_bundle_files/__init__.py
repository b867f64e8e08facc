"""What is inside a bundle, and how it is written."""
