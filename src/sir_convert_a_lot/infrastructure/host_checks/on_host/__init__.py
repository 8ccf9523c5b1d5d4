"""Scripts that are sent to a host as text and run there. They import the standard library alone."""
