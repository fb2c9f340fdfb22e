"""Delivery: the valve at the end of the pipe. It knows lanes, states and answers, and neither rows nor fields.

`dispatcher` decides and `engine` acts: everything that matters for correctness is decided by plain objects without
threads or clocks, which are told the time, and one module holds the threads.
"""
