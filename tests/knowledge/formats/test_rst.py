from pathlib import Path

import pytest

from knowledge.formats.extract import Extract
from knowledge.formats.rst import source


def only(text: str) -> Extract:
    (found,) = source(text.encode())
    assert isinstance(found, Extract)
    return found


def test_headings_lists_tables_and_code_become_markdown() -> None:
    found = only(
        """
Herons
======

Grey *herons* wait
for ``pike``.

Nests
-----

- in willows
- in reeds

1. one
2. two

::

    for x in y:
        pass

.. code-block:: python
   :emphasize-lines: 2

   import this

=====  ==
Fish   cm
=====  ==
Pike   90
=====  ==
"""
    )
    assert found.title == "Herons"
    assert found.text == (
        "# Herons\n\nGrey herons wait for `pike`.\n\n## Nests\n\n- in willows\n- in reeds\n\n1. one\n2. two\n\n"
        "```\nfor x in y:\n    pass\n```\n\n```python\nimport this\n```\n\n"
        "| Fish | cm |\n| --- | --- |\n| Pike | 90 |"
    )


@pytest.mark.parametrize(
    ("role", "said"),
    [
        (":func:`open`", "open()"),
        (":py:meth:`~pathlib.Path.open`", "open()"),
        (":class:`~pathlib.Path`", "Path"),
        (":c:func:`!PyList_New()`", "PyList_New()"),
        (":ref:`the chapter <tut-files>`", "the chapter"),
        (":pep:`8`", "PEP 8"),
        (":rfc:`2822#section-3`", "RFC 2822"),
        (":issue:`123`", "issue 123"),
        (":file:`~/{name}.txt`", "~/name.txt"),
        (":never-heard-of:`word`", "word"),
        ("`word`", "word"),
        ("`text <https://example.org>`_", "text"),
        ("|undefined|", "|undefined|"),
    ],
)
def test_a_role_degrades_to_what_people_read(role: str, said: str) -> None:
    assert only(f"See {role} there.").text == f"See {said} there."


def test_a_described_object_is_its_signature_then_its_body() -> None:
    found = only(
        """
.. function:: open(file, \\*args)
              open(file, **options)
   :module: io

   Open *file*.

   .. versionadded:: 3.2
      With options.

.. class:: Path(name)

   A path.

   .. method:: touch()

      Touch it.
"""
    )
    assert found.text == (
        "open(file, *args)\nopen(file, **options)\nOpen file.\n\nNew in version 3.2: With options.\n\n"
        "class Path(name)\nA path.\n\ntouch()\nTouch it."
    )


def test_remarks_begin_with_their_word_and_unknown_directives_keep_their_text() -> None:
    found = only(
        """
.. note:: Mind the gap.

.. seealso:: The other chapter.

.. deprecated-removed:: 3.11 3.13

.. some:thing:: A title
   :option: x

   Its *text*.

.. only:: html

   Both.
"""
    )
    assert found.text == (
        "Note: Mind the gap.\n\nSee also: The other chapter.\n\n"
        "Deprecated since version 3.11, removed in 3.13.\n\nA title\nIts text.\n\nBoth."
    )


def test_nothing_is_included_and_nothing_raw_or_said_by_the_parser_gets_in(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    found = only(
        f"""
Kept.

.. include:: {secret}
.. literalinclude:: {secret}
.. raw:: html

   <script>RAW</script>

.. csv-table::
   :file: {secret}

.. role:: hot(raw)
   :format: html

:hot:`RAWROLE`

.. index:: x
.. toctree::

   a
   b

.. _target:

*unclosed and `too

Too short
==
"""
    )
    assert "SECRET" not in found.text
    assert "<script>" not in found.text
    assert "WARNING" not in found.text
    assert "ystem" not in found.text
    assert found.text.startswith("Kept.")
    assert "unclosed" in found.text


def test_what_one_file_defines_does_not_reach_the_next() -> None:
    only(".. role:: func(code)\n\n:func:`open`")
    assert only("See :func:`open`.").text == "See open()."


def test_two_files_in_one_process_are_told_apart_by_nothing_else_than_their_text() -> None:
    text = "A\n=\n\nFootnote [#]_ and [CIT]_.\n\n.. [#] one\n.. [CIT] two\n\n:orphan:\n"
    assert only(text) == only(text)


SOURCES = Path("/usr/share/doc/python3.11/html/_sources")


@pytest.mark.slow
@pytest.mark.skipif(not SOURCES.is_dir(), reason="needs Debian's python3.11-doc")
def test_every_page_of_pythons_documentation_can_be_read() -> None:
    pages = sorted(SOURCES.rglob("*.rst.txt"))
    texts = [only(page.read_text(encoding="utf-8")).text for page in pages]
    assert all(texts)
    assert not any("\0" in text for text in texts)
