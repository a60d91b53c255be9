"""Torch's private operators, the only place that names them.

No release promises that they stay. Each is tried on a small problem before it is used;
where it is missing, or wrong, plain torch does its work.
"""
