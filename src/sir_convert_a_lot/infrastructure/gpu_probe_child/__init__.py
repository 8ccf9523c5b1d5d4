"""The process in which the GPU probe imports torch and computes; started by name, imported by nothing."""
