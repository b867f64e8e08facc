"""From a program in the kernel language to text: constants folded, dead code dropped, lines in the target."""
