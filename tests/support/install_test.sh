#!/usr/bin/env bash
# install_test.sh BUILD-FOLDER: what `cmake --install` makes, with a umask that lets nobody else read, works by itself and for everyone: the
# program starts as another user, with nothing of the builder's folders, and the batch script and what it needs lie beside each other. Moved to
# another folder, it trains.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "install_test.sh: $*" >&2; exit 1; }
folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-install.XXXXXX")
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
prefix=$folder/opt/berth
said=$(umask 077 && cmake --install "$1" --prefix "$prefix" 2>&1)

unreadable=$(find "$folder" ! -perm -o=r -o -type d ! -perm -o=x)
[ -z "$unreadable" ] || fail "not readable for everyone: $unreadable"

# As another user, where this one may become one.
other() {
  if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; fi
  (cd / && env -i PATH="$PATH" HOME=/nonexistent "$@")
}
version=$(other "$prefix/bin/berth" --version | sed -n '1s/^berth \([0-9.]*\) (libtorch .*/\1/p')
[ -n "$version" ] || fail "berth --version does not begin with its version and libtorch's"
compgen -G "$here/../../launcher/setup/packaging/easybuild/berth-$version-*.eb" >/dev/null || fail "the easyconfig is not of version $version"
torch=$(sed -n 's/^TORCH_DIR:[A-Z]*=//p' "$1/CMakeCache.txt")
gpu_library=$prefix/lib/berth/libberth_cuda.so
[ ! -e "$1/libberth_cuda.so" ] || [ -e "$gpu_library" ] || fail "the GPU library is not installed"
for program in "$prefix/bin/berth" $([ ! -e "$gpu_library" ] || echo "$gpu_library"); do
  path=$(readelf -d "$program" | sed -n 's/.*(RUNPATH).*\[\(.*\)\]/\1/p')
  case $program in
    *.so) [[ $path == '$ORIGIN'* ]] ;;
    *) [[ $path == '$ORIGIN/../lib/berth'* ]] ;;
  esac || fail "$program has the RUNPATH $path"
  libraries=$(other ldd "$program")
  ! grep -F -e "$(dirname "$torch")/" -e "$1/" <<<"$path:$libraries" || fail "$program needs the builder's folders"
done
# Built with NVIDIA's wheels (make build CUDA=1), nothing is missing where there is a driver.
if [ -e "$gpu_library" ] && [ -d "$(dirname "$torch")/nvidia/nccl" ]; then
  missing=$(other ldd "$gpu_library" | grep 'not found' | grep -v libcuda.so) || true
  [ -z "$missing" ] || fail "the GPU library lacks $missing"
fi

# The licences of its libraries, where they are known.
if compgen -G "$(dirname "$torch")/torch-*.dist-info" >/dev/null; then
  for library in "$prefix"/lib/berth/*; do
    [ "$library" != "$gpu_library" ] || continue
    record=$(grep -lF "/$(basename "$(realpath "$library")")," "$(dirname "$torch")"/*.dist-info/RECORD) || fail "no wheel has $library"
    wheel=$(basename "$(dirname "$record")" .dist-info)
    [ -n "$(find "$prefix/share/doc/berth/licenses/$wheel" -type f -iname 'licen[cs]e*')" ] || fail "$library comes without the licence of $wheel"
  done
else
  grep -q 'No licence is known of .*/libtorch_cpu.so' <<<"$said" || fail "does not say that libtorch comes without a licence"
fi
grep -q "libtorch_cpu.so => $prefix/" <<<"$(other ldd "$prefix/bin/berth" | sed 's|/bin/\.\./|/|')" || fail "berth comes without libtorch"

for file in slurm/finetune.sh slurm/sweep.sh slurm/mpirun_job.sh launcher/setup/get_model.sh launcher/setup/wheels.sh launcher/setup/mpi_env.sh \
  launcher/setup/model.txt data/demo/train.csv; do
  [ -f "$prefix/share/berth/$file" ] || fail "share/berth/$file is not installed"
done
for file in man/man1/berth.1 man/man1/berth-train.1 modulefiles/berth/"$version" bash-completion/completions/berth zsh/site-functions/_berth \
  doc/berth/README.md doc/berth/LICENSE doc/berth/docs/from-trainer.md; do
  [ -s "$prefix/share/$file" ] || fail "share/$file is not installed"
done
python3 "$here/../docs/docs_test.py" links "$prefix/share/doc/berth" || fail "the installed pages have dead links"
grep -qF '[Tutorial](docs/tutorial.md)' "$prefix/share/doc/berth/README.md" || fail "the installed README.md has no link to the installed tutorial"
while read -r place; do
  [ -e "$prefix/share/berth/$place" ] || fail "the installed README.md speaks of $place, which is not installed"
done < <(grep -oE '\$share/[a-z0-9_./]+' "$prefix/share/doc/berth/README.md" | sed 's|^.share/||' | sort -u)
for text in 'share=$(dirname "$(readlink -f "$(command -v berth)")")/../share/berth' '--train-file $share/data/demo/train.csv'; do
  grep -qF -- "$text" "$prefix/share/doc/berth/README.md" || fail "the installed README.md does not say $text"
done
! grep -E 'make (demo|test)|PWD/build|[ (`](data/demo/|launcher/setup/|slurm/[a-z_]+\.sh)' "$prefix/share/doc/berth/README.md" || fail "the installed README.md speaks of a clone"
model=$(BERTH_MODEL='' "$prefix/share/berth/launcher/setup/get_model.sh" --where)
echo "its get_model.sh points to $model"

# It runs in another folder than it was installed to.
mv "$prefix" "$folder/moved"
"$here/installed_run.sh" "$folder/moved"

# What was not built yet.
said=$(cmake -D BERTH_PROGRAM="$folder/berth" -D BERTH_BUILD=build -P "$here/../../launcher/setup/Install.cmake" 2>&1) &&
  fail "installs what is not there"
grep -q 'cmake --build build --target programs' <<<"$(tr -s '\n ' ' ' <<<"$said")" || fail "does not say what to run: $said"
