"""What a camera does to a picture: blur, exposure, noise, JPEG; exact filters in whole numbers."""
