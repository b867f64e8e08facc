"""What facelab uses of llvmlite, which states no types."""
