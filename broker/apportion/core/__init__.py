"""The decision core: arrays in, decisions out. No input or output, no clock, no randomness, no threads."""
