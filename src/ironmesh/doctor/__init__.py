"""Checks of a node's machine, files and network; each tells what to do about what it found."""
