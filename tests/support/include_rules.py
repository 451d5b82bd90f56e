#!/usr/bin/env python3
"""Each file includes what its room may use, and nothing else.

usage: include_rules.py SOURCE_DIR ROOMS

ROOMS is rooms.txt of a build folder: the rooms with what they use, as launcher/setup/Rooms.cmake linked them. Prints each include
that its room does not name, each name that its room does not need, each room above another that it uses, and each place that parses
or prints JSON outside data/json; exits 1 if there is any.
First it proves itself: for every room, an include of every room and package that it does not name must be found.
"""
import posixpath
import re
import sys
from collections import defaultdict
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
ENDINGS = {".h", ".cc", ".cu", ".cuh", ".inl"}

# What a room links without an include of its own: mpi_session.cc has mpi.h from trainer/comm/mpi/mpi_check.h.
# nvcc includes cuda_runtime.h by itself.
LINKED_ONLY = {"launcher": {"mpi"}, "trainer/kernels/cuda": {"cudart"}}

# Headers for a few files of a room: where they may be included at all.
NARROW = [
    (re.compile(r"mpi\.h"), re.compile(r"trainer/comm/mpi/mpi_check\.h")),
    (re.compile(r"boost/log/(sinks|utility/setup)"), re.compile(r"launcher/logging\.")),
]

# JSON goes in and out at one place, which knows limits (data/json/json.h).
JSON_CALL = re.compile(r"\b(?:\w*json|Json|LogRecord)::(?:parse|accept|sax_parse|from_\w+|to_\w+)\(|\.dump\(|\"_json\b|>>\s*\w*[jJ]son\b")


class House:
    def __init__(self, text):
        self.uses, self.packages, self.headers = {}, {}, {}
        for line in text.splitlines():
            kind, name, rest = (line.split(" ", 2) + [""])[:3]
            if kind == "package":
                self.headers[name] = re.compile(rest)
            else:
                uses, packages = re.fullmatch(r"uses ?(.*?) packages ?(.*)", rest).groups()
                self.uses[name], self.packages[name] = uses.split(), packages.split()

    def room_of(self, path):
        folder = str(Path(path).parent)
        while folder not in self.uses and "/" in folder:
            folder = folder.rsplit("/", 1)[0]
        return folder if folder in self.uses else None

    def package_of(self, header):
        return next((name for name, pattern in self.headers.items() if pattern.match(header)), None)

    def wanted(self, header, known):
        """The room or package that a header belongs to; None if it is a system header or a neighbour's without a folder."""
        package = self.package_of(header)
        if package is not None and header not in known:
            return package
        if header.split("/")[0] in {"data", "trainer", "launcher"}:
            return self.room_of(header) or header
        return None

    def includes(self, path, text, known):
        """(header, room or package, whether it may be) for each include that leaves the file's room."""
        room = self.room_of(path)
        for bracket, header in INCLUDE.findall(text):
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(path), header))
            if bracket == '"' and beside in known:  # the compiler looks beside the file first
                header = beside
            wanted = self.wanted(header, known)
            narrow = any(rule.match(header) and not place.match(path) for rule, place in NARROW)
            if wanted is not None and (wanted != room or narrow):
                yield header, wanted, wanted in self.uses[room] + self.packages[room] + [room] and not narrow

    def check(self, files):
        """files: {path: text}. Returns the sentences about what is wrong."""
        problems, needed = [], defaultdict(set)
        for path, text in sorted(files.items()):
            room = self.room_of(path)
            if room is None:
                problems.append(f"{path}: its folder is no room (berth_room in the CMakeLists.txt there)")
                continue
            for header, wanted, allowed in self.includes(path, text, files):
                needed[room].add(wanted)
                if not allowed:
                    problems.append(f"{path} includes {header}, but {room} does not use {wanted}")
        problems += [f"{path} calls {call.group()}: JSON is parsed and printed by data/json/json.h"
                     for path, text in sorted(files.items()) if not path.startswith("data/json/") for call in JSON_CALL.finditer(text)]
        for room, uses in self.uses.items():
            for name in uses + self.packages[room]:
                if name not in needed[room] and name not in LINKED_ONLY.get(room, ()):
                    problems.append(f"{room} names {name}, which no file of it includes")
        order = list(self.uses)  # a room is declared after those that it uses: CMake sees to that
        problems += [f"{a} uses {b}, which stands above it" for a in order for b in self.uses[a] if order.index(b) >= order.index(a)]
        return problems


def prove(house, files):
    """Every forbidden include is found, one at a time, in a made-up file of the room."""
    header_of = {room: next(path for path in sorted(files) if path.endswith(".h") and house.room_of(path) == room)
                 for room in house.uses if any(path.endswith(".h") and house.room_of(path) == room for path in files)}
    example = {"json": "nlohmann/json.hpp", "openssl": "openssl/evp.h", "icu": "unicode/utf8.h", "hdf5": "hdf5.h", "boost": "boost/crc.hpp",
               "boost_log": "boost/log/trivial.hpp", "mpi": "mpi.h", "torch": "ATen/ATen.h", "cudart": "cuda_runtime.h", "cuda": "nccl.h",
               "cublaslt": "cublasLt.h", "nvtx": "nvtx3/nvToolsExt.h", "cli11": "CLI/CLI.hpp", "simgrid": "simgrid/s4u.hpp", "events": "trainer/report/event.pb.h"}
    assert set(example) == set(house.headers), "a package without an example of its headers"
    tried = 0
    for room in house.uses:
        forbidden = [header for other, header in header_of.items() if other != room and other not in house.uses[room]]
        forbidden += [header for package, header in example.items() if package not in house.packages[room]]
        for header in forbidden:
            found = list(house.includes(f"{room}/mutant.cc", f'#include "{header}"\n', files))
            if [allowed for _, _, allowed in found] != [False]:
                sys.exit(f"include rules: {header} in {room} was not found")
            tried += 1
    return tried


def main():
    source = Path(sys.argv[1])
    house = House(Path(sys.argv[2]).read_text())
    files = {str(path.relative_to(source)): path.read_text() for top in ("data", "trainer", "launcher")
             for path in (source / top).rglob("*") if path.suffix in ENDINGS}
    problems = house.check(files)
    if problems:
        sys.exit("\n".join(problems) + "\n(rooms say what they use in their CMakeLists.txt)")
    tried = prove(house, files)
    beside = list(house.includes("data/readers/mutant.cc", '#include "../../trainer/run/train_loop.h"\n', files))
    if [allowed for _, _, allowed in beside] != [False]:
        sys.exit("include rules: an include by a relative path was not found")
    for call in ("nlohmann::json::parse(text)", "Json::parse(text)", "value.dump(2)", "in >> json", "LogRecord::parse(line)"):
        if len(house.check({**files, "trainer/run/mutant.cc": call})) != 1:
            sys.exit(f"include rules: {call} was not found")
    upwards = {**files, "data/check.h": files["data/check.h"] + '#include "trainer/run/train_loop.h"\n'}
    if len(house.check(upwards)) != 1:
        sys.exit("include rules: an include upwards, in data/check.h, was not found")
    print(f"{len(house.uses)} rooms, {sum(map(len, house.uses.values()))} arrows, {len(files)} files; {tried} forbidden includes are found")


if __name__ == "__main__":
    main()
