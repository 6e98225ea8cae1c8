"""Benchmarks: our node beside the published 0.8.5.7, in the same run. `make bench`."""
