"""What `ckptptr doctor` checks: one file for each place where something can be wrong.

May import what `ckptptr.cli` may. The rule: a check is a small function that reads, changes nothing and
yields findings. An error that stops it becomes a finding too (see `finding`).
"""
