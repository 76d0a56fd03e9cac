"""results.json and its schema, tables, layer errors."""
