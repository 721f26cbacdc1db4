"""What `ckptptr doctor` checks: a file for each place where something can be wrong.

Each check is a small function that looks and changes nothing, and yields findings.
"""
