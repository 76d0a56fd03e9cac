"""The verbs that measure, and the report."""
