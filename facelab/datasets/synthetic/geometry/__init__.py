"""Who is shown, doing what, and the meshes that follow: identity, action units, head, parts, z-buffer."""
