"""Frame sources without a kernel: rendered sensor, video files, image folders, recordings."""
