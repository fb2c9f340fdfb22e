"""Airbyte: lines in and out, states as text, the catalog typed, the commands. Alone imports the CDK."""
