"""The study of the matchers: what notebook 08 and `facelab match bench` measure."""
