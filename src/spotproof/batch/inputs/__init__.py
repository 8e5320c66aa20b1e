"""Reads rows of Parquet, JSONL, CSV and text files, from any row on."""
