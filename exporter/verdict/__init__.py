"""Whether the deployment is a success: criteria, the first week, sign-offs, and the report."""
