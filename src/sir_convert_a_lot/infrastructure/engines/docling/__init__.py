"""The Docling engine: layout, tables and OCR by models, on the device that the policy chose.

Imports nothing: the API process looks for `engine` in here without wanting it.
"""
