"""The user flows of the deployment checklist, tried as an application tries them: over the API."""
