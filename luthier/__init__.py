"""Luthier fine-tunes GPT-like models on a company's own data and runs them in production."""

__version__ = "0.1.0"
