"""`python -m ckptptr.cli`."""

from ckptptr.cli import main

main(prog_name="ckptptr")
