"""The parts put together and run: the daemon, one-time runs and the health check."""
