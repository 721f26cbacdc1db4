"""Threads that outlive the call that started them: `daemon` for one piece of work, `background` for a worker.

May import nothing of ckptptr. The rule: no thread of ours keeps the interpreter from exiting.
"""
