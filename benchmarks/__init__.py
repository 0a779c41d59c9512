"""How fast the kernels are, and beside whom: see README.md in this folder. Not part of the installed package."""
