"""The version of the distribution, alone in its file so that ``--version`` imports nothing else."""

__version__ = "0.1.0"
