"""Criteria, the first week and sign-offs, judged: go, no-go or inconclusive."""
