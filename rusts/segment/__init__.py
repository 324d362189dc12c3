"""Segments: immutable columnar files of one partition; FORMAT.md gives them byte by byte."""
