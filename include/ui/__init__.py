"""The dashboard: pages that a server draws, for people, out of what the API answers to programs."""
