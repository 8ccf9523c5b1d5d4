"""Repairs on a host: `site` gives the orders, and `agent` carries them out there, by way of the port `Host`."""
