"""What people say of it: the codebook, agreement, and the Label Studio campaign. Imports ``corpus`` only."""

from annotation.codebook import Codebook, load_codebook, parse_codebook

__all__ = ["Codebook", "load_codebook", "parse_codebook"]
