"""A computation as something to look at: traced, simplified, laid out, written."""
