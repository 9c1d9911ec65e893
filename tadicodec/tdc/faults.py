"""What can be wrong with a token file."""

from __future__ import annotations

from tadicodec.errors import InputError


class ContainerError(InputError):
    """A token file that cannot be read."""


class TruncatedFile(ContainerError):
    """The file ends before what its header announces."""


class ForeignFile(ContainerError):
    """Not a token file at all."""


class NewerVersion(ContainerError):
    """Written by a later version of the format."""


class CorruptedFile(ContainerError):
    """The checksum or the header is wrong."""


class MissingCoder(ContainerError):
    """The file is squeezed by models that are not here."""
