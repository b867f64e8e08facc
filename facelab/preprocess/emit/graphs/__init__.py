"""Graphs made node by node, in the two file formats that carry preprocessing beside a model."""
