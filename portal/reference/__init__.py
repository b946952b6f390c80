"""The API reference for people: read from the OpenAPI document that the running server gives of itself."""
