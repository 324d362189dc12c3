"""The catalog: databases, policies, measurements, fields, series and live segments.

Memory is what is asked; meta.sqlite keeps it.
"""
