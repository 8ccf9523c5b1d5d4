"""PDF to Markdown, on the GPU provably or refused."""
