"""What a process of facelab arranges for itself as a whole."""
