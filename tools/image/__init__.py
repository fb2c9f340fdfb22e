"""The connector's image: built with a real Docker engine, run as the Airbyte platform runs it, and measured."""
