"""What can go wrong with knowledge, as one tree. Knows no HTTP: a server gives these their status codes.

KnowledgeError
  DocumentError           this document cannot be taken in
    UnknownFormat         no parser for its suffix
    ArchiveContent        a file of files, such as a zip or a word processor's
    BinaryContent         not text at all
    BadEncoding           text, but not UTF-8
    BrokenContent         not what its name says, or damaged
    EncryptedContent      needs a password
    NoText                pages without text, such as a scan
    TooCostly             takes more time or memory to read than is given
    EmptyDocument         nothing left after normalising
    TooLarge              more bytes than allowed
  BudgetTooSmall          a token budget that cannot hold one character
  EmbeddingError          vectors of the wrong shape, type or length
  UnknownDocument         no such document here, or not visible to the caller
  CatalogueError          the file cannot be opened, read or written
    DamagedCatalogue      the file is not, or no longer, a catalogue
    NewerSchema           written by a later version of this program
  ArchiveError            an export that is damaged, or not whole
    NotAnArchive          it is none, or one of a later version of this program
  BrokenPage              a page of changes that contradicts itself
  OutOfStep               a page of changes that does not follow the last one applied
"""

from __future__ import annotations


class KnowledgeError(Exception):
    """Base of all errors of this package; its message is fit to show to a user."""


class DocumentError(KnowledgeError):
    pass


class UnknownFormat(DocumentError):
    pass


class ArchiveContent(DocumentError):
    pass


class BinaryContent(DocumentError):
    pass


class BadEncoding(DocumentError):
    pass


class BrokenContent(DocumentError):
    pass


class EncryptedContent(DocumentError):
    pass


class NoText(DocumentError):
    pass


class TooCostly(DocumentError):
    pass


class EmptyDocument(DocumentError):
    pass


class TooLarge(DocumentError):
    pass


class BudgetTooSmall(KnowledgeError):
    pass


class EmbeddingError(KnowledgeError):
    pass


class UnknownDocument(KnowledgeError):
    pass


class CatalogueError(KnowledgeError):
    pass


class DamagedCatalogue(CatalogueError):
    pass


class NewerSchema(CatalogueError):
    pass


class ArchiveError(KnowledgeError):
    pass


class NotAnArchive(ArchiveError):
    pass


class BrokenPage(KnowledgeError):
    pass


class OutOfStep(KnowledgeError):
    pass
