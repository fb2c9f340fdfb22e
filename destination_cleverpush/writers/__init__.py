"""Writers: a mapped row to operations, pure; one module per CleverPush object."""
