"""Delivery: jobs in, calls out, outcomes handed on, and states that wait for them."""
