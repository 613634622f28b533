"""Typical mistakes of people who bring their own model, and the one sentence that each reads.

`python -m tests.mistakes` writes the table in docs/mistakes.md; a test holds it to be so.
"""
