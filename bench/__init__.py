"""Figures, each beside a baseline of the same run: absolute times are noise on shared machines.

python -m bench            # all
python -m bench bridge     # one
"""
