"""What goes to the device: the bundle, the policy, and the gate that says whether it may."""
