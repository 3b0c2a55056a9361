"""The project's exceptions: one root, so that the command line can turn each into one sentence and an exit code."""

from __future__ import annotations


class TreatyStanceError(Exception):
    """Root of all errors that are the user's to mend. The message is one sentence: what, expected, found, what to do.

    ``exit_code`` is what the command line returns: 1, the work failed.
    """

    exit_code = 1


class UsageError(TreatyStanceError):
    """The command was asked for what cannot be meant: a missing file, a clash of options, a taken output folder."""

    exit_code = 2


class RecordError(TreatyStanceError):
    """A record, a row or a file does not have the form that its type requires."""


class CodebookError(TreatyStanceError):
    """A codebook is malformed, contradicts itself, or does not fit the data that it is used on."""


class BundleError(TreatyStanceError):
    """A trained bundle is incomplete, altered or of another version."""
