"""The job engine: one durable DBOS workflow a job, over killable worker processes."""
