"""The baseline as one document with a checksum, and whether it fits the watched database."""
