"""Kernels that more than one layer uses: arrays and numbers in, arrays out. No classes, no state."""
