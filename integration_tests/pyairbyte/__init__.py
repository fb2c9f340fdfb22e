"""The connector driven by PyAirbyte, a real client of Airbyte destinations."""
