"""The AWS side: signatures, credentials, endpoints, API calls."""
