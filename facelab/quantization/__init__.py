"""INT8 and its relatives: calibrate, quantise, measure what it saves and costs, find the layer that is to blame."""
