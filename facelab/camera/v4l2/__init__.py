"""V4L2: structures and ioctls, the kernel below them (real or fake), and the source above."""
