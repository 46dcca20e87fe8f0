"""Framework-independent model definitions: configurations, heads, families, parameters, outputs, input checks."""
