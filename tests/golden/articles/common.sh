# Sourced by the articles' scripts with their argument, BERTH: a scratch folder, and checks of what was said. BERTH_MODEL: a pretrained encoder;
# without it a script ends with exit code 77, which is to say that it was not run.
set -euo pipefail
[ -n "${BERTH_MODEL:-}" ] || { echo "not run: BERTH_MODEL is not set"; exit 77; }
berth=$(realpath "$1") model=$BERTH_MODEL
articles=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$articles/../../.." && pwd)
. "$root/launcher/setup/mpi_env.sh"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/berth-article.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

train() { mpirun -np 2 "$berth" train --model "$model" --disable-tqdm "$@" >train.log 2>&1 || { cat train.log; exit 1; }; }
promised() { # WHAT EXTENDED-REGULAR-EXPRESSION FILE: some line of the file is so
  grep -qE -- "$2" "$3" && echo "as promised: $1" || { echo "$1: no line like '$2' in $3:"; cat "$3"; exit 1; }
}
at_least() { # WHAT KEY LEAST FILE: a number of a JSON file
  python3 -c 'import json, sys; what, key, least, file = sys.argv[1:]; value = json.load(open(file))[key]; print(f"{what}: {value:.4f}")
if value < float(least): sys.exit(f"{key} should be at least {least}")' "$@"
}
