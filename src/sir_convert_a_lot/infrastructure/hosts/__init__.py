"""Hosts: this machine and those over SSH, behind one port, `application.ports.Host`.

Both run the same `launcher` and speak to it by the same `conversation`; only the way there differs, so what holds for
one holds for the other.
"""
