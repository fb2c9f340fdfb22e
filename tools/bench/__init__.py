"""What delivery costs, measured against nginx so that the target is never the bottleneck: `make bench`."""
