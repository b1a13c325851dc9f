"""The baseline as one document with a checksum, and whether it fits the database that is watched."""
