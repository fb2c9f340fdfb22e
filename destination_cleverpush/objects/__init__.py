"""Objects: a row as calls to CleverPush, pure; the table of objects, one module each, and the plan per stream."""
