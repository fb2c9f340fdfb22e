"""What is not a test: the demo, the benchmark, trials that take long, the image, the lock and its audit."""
