"""What the notebooks do: one module per notebook, below them and above everything else.

A study may import every room. Only notebooks, commands and tests import a study.
"""
