"""Files of any compression as blocks of whole lines, hashed on the way."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import zlib
from codecs import BOM_UTF8
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, cast

import numpy as np

from apportion.core.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from numpy.typing import NDArray

BLOCK: Final = 4 * 1024 * 1024  # bytes of text in memory at a time; also the longest line there may be
HEAD: Final = 256 * 1024  # bytes that are looked at to tell a format
_PIECE: Final = 256 * 1024

_SUFFIX: Final = re.compile(r"\.(gz|bz2|xz|zst|swf|gwf|csv|txt|sacct|json|parquet|log|acct)$", re.IGNORECASE)


class _Hashed(io.RawIOBase):
    """A raw file that hashes whatever is read from it."""

    def __init__(self, raw: io.FileIO) -> None:
        self.raw = raw
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, view: Any) -> int:
        count = self.raw.readinto(view)
        self.digest.update(memoryview(view)[:count])
        return count

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Zstd(io.RawIOBase):
    """A zstd stream of any number of frames that, unlike the library's own reader, notices when it was cut off."""

    def __init__(self, source: BinaryIO) -> None:
        import zstandard

        self.source = source
        self.new = zstandard.ZstdDecompressor().decompressobj
        self.frame: Any = None
        self.pending = b""
        self.left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, view: Any) -> int:
        while not self.pending:
            data = self.left or self.source.read(64 * 1024)
            self.left = b""
            if not data:
                if self.frame is not None:
                    raise EOFError
                return 0
            if self.frame is None:
                self.frame = self.new()
            self.pending = self.frame.decompress(data)
            if self.frame.eof:
                self.left = self.frame.unused_data
                self.frame = None
        count = min(len(view), len(self.pending))
        view[:count] = self.pending[:count]
        self.pending = self.pending[count:]
        return count


class TraceFile:
    """A trace file opened for one reading from the front, decompressed by its magic bytes; a byte-order mark is skipped.

    Use as a context manager; every failure to read becomes a `TraceError`.

    Parameters
    ----------
    path : str or os.PathLike

    Attributes
    ----------
    path : str
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        with reading(self.path):
            mode = Path(self.path).stat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise TraceError("is a pipe or a device", "save it to a file: a trace is read twice", path=self.path)
            self._file = _Hashed(io.FileIO(self.path))
            buffered = io.BufferedReader(self._file, _PIECE)
            magic = buffered.peek(6)[:6]
            self._plain: BinaryIO = buffered
            if magic.startswith(b"\x1f\x8b"):
                self._plain = cast("BinaryIO", gzip.GzipFile(fileobj=buffered))
            elif magic.startswith(b"BZh"):
                self._plain = cast("BinaryIO", bz2.BZ2File(buffered))
            elif magic.startswith(b"\xfd7zXZ\x00"):
                self._plain = cast("BinaryIO", lzma.LZMAFile(buffered))  # noqa: SIM115 - closed with the file below it
            elif magic.startswith(b"\x28\xb5\x2f\xfd"):
                self._plain = cast("BinaryIO", io.BufferedReader(_Zstd(buffered), _PIECE))
            if self._plain.peek(len(BOM_UTF8))[: len(BOM_UTF8)] == BOM_UTF8:  # type: ignore[attr-defined]
                self._plain.read(len(BOM_UTF8))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """Next ``size`` bytes of the text, or all of it."""
        with reading(self.path):
            return self._plain.read(size)

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[NDArray[np.uint8], int]]:
        """Yield the text in blocks of whole lines, each ended by a line end, and the count of lines in each.

        Where lines end in a bare carriage return, as on old Macs, line feeds take its place.
        A block is a view of one buffer and holds only until the next one is asked for.

        Raises
        ------
        TraceError
            A line is longer than ``size``, or the file cannot be read.
        """
        buffer = bytearray(size + 1)
        view = memoryview(buffer)
        array = np.frombuffer(buffer, dtype=np.uint8)
        filled = 0
        done = 0
        ended = False
        returns = None  # whether lines end in carriage returns, once that is known
        while not ended:
            begin = filled
            with reading(self.path):
                while filled < size and not ended:
                    count = self._plain.readinto(view[filled:size])  # type: ignore[attr-defined]
                    filled += count
                    ended = count == 0
            if returns is None:
                returns = buffer.find(b"\n", 0, filled) < 0 <= buffer.find(b"\r", 0, filled)
            if returns:
                view[begin:filled] = bytes(view[begin:filled]).replace(b"\r", b"\n")
            if ended and filled and buffer[filled - 1] != 10:
                buffer[filled] = 10
                filled += 1
            stop = filled if ended else buffer.rfind(b"\n", 0, filled) + 1
            if stop == 0 and not ended:
                what = f"the line is longer than {size // 1024 // 1024} MiB"
                raise TraceError(what, "is this really a text trace?", path=self.path, line=done + 1)
            lines = buffer.count(b"\n", 0, stop)
            if stop:
                yield array[:stop], lines
            done += lines
            view[: filled - stop] = bytes(view[stop:filled])
            filled -= stop

    def sha256(self) -> str:
        """Hash of the file as it lies on disk; what was not read yet is read for it."""
        with reading(self.path):
            piece = bytearray(_PIECE)
            while self._file.readinto(piece):
                pass
        return self._file.digest.hexdigest()


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into a `TraceError`."""
    try:
        yield
    except FileNotFoundError:
        raise TraceError(
            "there is no such file", "check the path, or see the names of known traces", path=path
        ) from None
    except IsADirectoryError:
        raise TraceError("is a folder, not a trace", "name a file in it", path=path) from None
    except PermissionError:
        raise TraceError("may not be read", "check its permissions", path=path) from None
    except EOFError:
        raise TraceError("compressed file is cut off", "download or copy it again", path=path) from None
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise TraceError(f"compressed file is damaged: {error}", "download or copy it again", path=path) from None
    except OSError as error:
        what = error.strerror or str(error)
        raise TraceError(f"cannot be read: {what}", "check the file or copy it again", path=path) from None
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        raise TraceError(f"compressed file is damaged: {error}", "download or copy it again", path=path) from None


def head(path: str | os.PathLike[str], size: int = HEAD) -> bytes:
    """First ``size`` bytes of a file's text.

    Raises
    ------
    TraceError
        The file cannot be read, or is empty.
    """
    with TraceFile(path) as file:
        text = file.read(size)
    if not text:
        raise TraceError("is empty", "give a trace with at least one job", path=path)
    return text


def stem(path: str | os.PathLike[str]) -> str:
    """Name of a trace after its file: without folders and without the endings of formats and compressions."""
    name = Path(path).name
    while len(shorter := _SUFFIX.sub("", name)) < len(name) and shorter:
        name = shorter
    return name
