"""What a model file costs before it runs: its operators, their MACs and bytes, and the plan of its activations."""
