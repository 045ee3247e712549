"""Replay several centers on one calendar, with a broker between them."""
