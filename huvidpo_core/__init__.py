"""HuViDPO Lab: text to video, taught your own taste."""

__version__ = "0.1.0"
