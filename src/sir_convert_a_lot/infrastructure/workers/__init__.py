"""Worker processes: killable, watched, and dead when the service is."""
