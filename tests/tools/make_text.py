"""Make tinygrad_edu/datasets/alice.txt.gz again, from the copy of the book in Brotli's test data.

    pip download brotli==1.2.1 --no-binary :all: --no-deps
    python tests/tools/make_text.py brotli-1.2.1.tar.gz

The words stay as they are, and lines break where they did. What a typewriter added goes: spaces
that indent, second spaces after a full stop, rows of stars, and the name of the edition.
"""

import gzip
import hashlib
import re
import sys
import tarfile
from pathlib import Path

TARGET = Path(__file__).parents[2] / "tinygrad_edu" / "datasets" / "alice.txt.gz"
MEMBER = "brotli-1.2.1/tests/testdata/alice29.txt"
SHA256 = "7467306ee0feed4971260f3c87421154a05be571d944e9cb021a5713700c38f0"


def normalised(text: str) -> str:
    """Paragraphs, headings and stanzas with one empty line between them, no spaces to spare."""
    text = text.replace("\r\n", "\n").replace("\x1a", "")
    text = re.sub(r"^ *(\*[ *]*|THE MILLENNIUM FULCRUM EDITION 2\.9)$", "", text, flags=re.M)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def main(archive: str) -> None:
    with tarfile.open(archive) as tar:
        original = tar.extractfile(MEMBER).read()
    if hashlib.sha256(original).hexdigest() != SHA256:
        raise ValueError(f"{archive}: {MEMBER} is not the text this script was written for")
    text = normalised(original.decode("ascii"))
    TARGET.write_bytes(gzip.compress(text.encode("ascii"), compresslevel=9, mtime=0))
    print(f"{TARGET}: {len(text)} characters, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
