"""`deme compare`: every arm under one protocol, at one budget, in one table."""
