"""The user's own LLRT binary: is it one that Lambda can run, and on which processor?"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dify_cdk.options.sizes import Architecture

_NAME = "llrt_bootstrap"
_WANTED = "the file bootstrap from LLRT's llrt-lambda-arm64.zip or llrt-lambda-x64.zip"

_ELF = b"\x7fELF"
# What people have at hand instead: the first bytes of the file, and what to say about it.
_OTHERS: Mapping[bytes, str] = MappingProxyType(
    {
        b"PK\x03\x04": "a zip archive: unzip it first and give the file bootstrap that is in it",
        b"#!": "a script",
        b"MZ": "a Windows program",
        b"\xcf\xfa\xed\xfe": "a macOS program",
        b"\xca\xfe\xba\xbe": "a macOS program",
    }
)
_MACHINES: Mapping[int, Architecture] = MappingProxyType(
    {62: Architecture.X86_64, 183: Architecture.ARM64}  # EM_X86_64, EM_AARCH64
)

# The header of a 64-bit ELF file, as far as we read it: magic number, class, the rest of the identification;
# type, machine, version, entry point. Lambda's machines are little-endian, and read that way the number of a
# big-endian machine is none of ours.
_HEADER = struct.Struct("<4sB11xHHIQ")
_64_BIT = 2
_EXECUTABLE_TYPES = (2, 3)  # ET_EXEC, and ET_DYN for what can be loaded at any address


def check_bootstrap(path: str | Path) -> Architecture:
    """The processor that an LLRT binary is built for.

    Whether the file may be executed does not matter: that is set when it is packed.

    Args:
        path: The binary, on this machine.

    Raises:
        ValueError: If it is no program that Lambda's ``provided.al2023`` runtime can run.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{_NAME} must be a file, got the folder {path}: give {_WANTED}")
    if not path.is_file():
        raise ValueError(f"{_NAME} must be an existing file, got {path}: give {_WANTED}")
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if not header.startswith(_ELF):
        raise _refusal(path, _kind(header))
    if len(header) < _HEADER.size:
        raise _refusal(path, "cut off: download it again")
    return _architecture(path, header)


def _architecture(path: Path, header: bytes) -> Architecture:
    _, bits, kind, machine, _, entry = _HEADER.unpack(header)
    if bits != _64_BIT:
        raise _refusal(path, "a 32-bit program")
    architecture = _MACHINES.get(machine)
    if architecture is None:
        raise _refusal(path, "built for a processor that Lambda does not have")
    if kind not in _EXECUTABLE_TYPES or not entry:
        raise _refusal(path, "no program, but a library or another part of one")
    return architecture


def _kind(header: bytes) -> str:
    if not header:
        return "empty"
    found = (text for start, text in _OTHERS.items() if header.startswith(start))
    return next(found, "no Linux program (ELF file)")


def _refusal(path: Path, problem: str) -> ValueError:
    return ValueError(f"{_NAME} must be a 64-bit Linux program, {_WANTED}; {path} is {problem}")
