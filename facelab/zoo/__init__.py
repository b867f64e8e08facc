"""The models: a catalogue that says what they are, a store that has their verified files, runtimes that run them."""
