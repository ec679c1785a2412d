"""The embedded stack: a real PostgreSQL, a real Temporal server and Baton's own processes under one supervisor."""
