"""Criteria, judged by what was seen, become go, no-go or inconclusive; and the report of it."""
