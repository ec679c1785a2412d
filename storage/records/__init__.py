"""All queries of records: a repository for each subject, on the session of one unit of work."""
