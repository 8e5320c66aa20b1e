"""Bytes at a URI: create-if-absent, compare-and-swap, ranged reads, durable local writes."""
