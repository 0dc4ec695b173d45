"""Small PDFs: of lines on pages, with what can be wrong with one."""

import io
import zlib
from collections.abc import Sequence

from pypdf import PdfReader, PdfWriter


def pdf(pages: Sequence[Sequence[str]], title: str = "") -> bytes:
    """One page for each list of lines, in Helvetica."""
    return assemble([_shown(lines) for lines in pages], title)


def assemble(contents: Sequence[bytes], title: str = "", filter: str = "") -> bytes:
    """One page for each content stream; with a `filter`, streams are already in it."""
    count = len(contents)
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for at, content in enumerate(contents):
        page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"{page} /Contents {5 + 2 * at} 0 R >>".encode())
        filtered = f" /Filter /{filter}" if filter else ""
        objects.append(f"<< /Length {len(content)}{filtered} >>\nstream\n".encode() + content + b"\nendstream")
    objects.append(f"<< /Title ({title}) >>".encode())
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    offsets: list[int] = []
    for number, content in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + content + b"\nendobj\n")
    start = out.tell()
    rows = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}".encode())
    info = f" /Info {len(objects)} 0 R" if title else ""
    out.write(f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R{info} >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def encrypted(data: bytes, *, user_password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(user_password=user_password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def bomb(mib: int) -> bytes:
    """A page of so many MiB of operators, packed a thousand times smaller."""
    packer = zlib.compressobj(9)
    once = b"".join(packer.compress(b"q Q\n" * 2**18) for _ in range(mib)) + packer.flush()
    return assemble([once], filter="FlateDecode")


def _shown(lines: Sequence[str]) -> bytes:
    said = "".join(f"({line.translate(_ESCAPED)}) Tj T*\n" for line in lines)
    return f"BT /F1 11 Tf 14 TL 72 720 Td\n{said}ET".encode("cp1252")


_ESCAPED = str.maketrans({"(": r"\(", ")": r"\)", "\\": r"\\"})
