#!/bin/bash
# Which folder may include what: data <- trainer <- launcher, and each heavy library in its one place.
# usage: include_rules.sh SOURCE_DIR    prints each forbidden include and exits 1 if there is any
set -euo pipefail

# folder, forbidden include (regular expression after the opening quote or bracket), files of the folder that may all the same
rules='
data      (torch|ATen|c10)/|mpi\.h|nccl|cuda|trainer/|launcher/|CLI/  none
data      hdf5\.h|data/store/hdf5\.h                                  ^data/store/
data      unicode/                                                    ^data/tokenizer/
trainer   launcher/|CLI/|unicode/|hdf5\.h|data/store/hdf5\.h          none
trainer   mpi\.h|nccl                                                 ^trainer/comm/
trainer   boost/log/(sinks|utility/setup)                             none
launcher  hdf5|unicode/|data/store/hdf5\.h                            none
launcher  boost/log/(sinks|utility/setup)                             ^launcher/logging
'

forbidden_includes() (  # SOURCE_DIR
  cd "$1"
  while read -r folder pattern allowed; do
    [ -n "$folder" ] || continue
    grep -rnE --include='*.h' --include='*.cc' --include='*.cu' "^ *# *include *[<\"]($pattern)" "$folder" | grep -vE "$allowed" || true
  done <<<"$rules"
)

# Proves on a made-up tree that each rule finds what it forbids and lets pass what it allows.
self_test() {
  local bad
  tree=$(mktemp -d)
  trap 'rm -rf "$tree"' EXIT
  mkdir -p "$tree"/{data/store,data/tokenizer,trainer/comm,launcher}
  echo '#include <hdf5.h>' >"$tree/data/store/ok.h"
  echo '#include <unicode/utf8.h>' >"$tree/data/tokenizer/ok.h"
  printf '#include <mpi.h>\n#include "data/store/dataset.h"\n' >"$tree/trainer/comm/ok.cc"
  printf '#include <boost/log/sinks.hpp>\n#include <CLI/CLI.hpp>\n' >"$tree/launcher/logging.cc"
  [ -z "$(forbidden_includes "$tree")" ] || { echo "include rules: an allowed include was reported" >&2; exit 1; }
  while read -r file include; do
    echo "#include $include" >"$tree/$file"
    bad=$(forbidden_includes "$tree")
    [[ $bad == *"$file"* ]] || { echo "include rules: $include in $file was not found" >&2; exit 1; }
    rm "$tree/$file"
  done <<'CASES'
data/a.cc <torch/torch.h>
data/a.cc "trainer/torch.h"
data/a.cc <mpi.h>
data/a.cc <unicode/utf8.h>
data/a.h <hdf5.h>
data/tokenizer/a.cc "data/store/hdf5.h"
trainer/a.cc <mpi.h>
trainer/a.cc <nccl.h>
trainer/a.cc "launcher/options.h"
trainer/a.cc <hdf5.h>
launcher/a.cc "data/store/hdf5.h"
launcher/a.cc <boost/log/sinks.hpp>
CASES
}

self_test
found=$(forbidden_includes "${1:?usage: include_rules.sh SOURCE_DIR}")
[ -z "$found" ] || { printf 'forbidden includes (see the README of each folder):\n%s\n' "$found" >&2; exit 1; }
