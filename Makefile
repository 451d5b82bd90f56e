# Short names for the CMake presets and for the scripts of launcher/setup and tests/support.
PRESET ?= release
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
FOLDER = $(if $(filter release,$(PRESET)),build,build-$(PRESET))

.PHONY: help deps build test test-fast soak demo test-fresh reference bench bench-quick install package format check-format tidy analyze fuzz clean all

help:
	@echo "make demo        fine-tune a pretrained BERT on the demo reviews, on 2 MPI ranks (installs and builds what is missing)"
	@echo "make test        build, and run all tests"
	@echo "make test-fast   build, and run what takes under a minute: no MPI jobs, no Slurm, no Python"
	@echo "make soak        build, and run what takes an hour: kills, disk faults and signals by the hundred"
	@echo "make build       build/berth; CUDA=1 also fetches what it needs for GPUs (2.4 GB), as is done by itself where there is one"
	@echo "make install     berth and its Slurm scripts, under PREFIX=$(PREFIX)"
	@echo "make package     a .deb and a .tar.gz for any folder, with libtorch inside: $(FOLDER)/packages"
	@echo "make test-fresh  'make test' and 'make demo' on a bare Debian in a temporary folder (as root)"
	@echo "make reference   a Python environment with transformers, for the tests labelled 'reference'"
	@echo "make bench       berth beside Hugging Face Trainer on the data sets in BERTH_DATASETS, an hour: tests/bench/results; make bench-quick: minutes"
	@echo "make format      clang-format over all sources; make check-format only looks"
	@echo "make tidy        clang-tidy over the rooms without libtorch (TIDY=. for all files)"
	@echo "make analyze     clang's static analyzer over the same"
	@echo "make fuzz        libFuzzer on every reader of files, a few thousand inputs each; SECONDS=600: so long each"
	@echo "make clean       remove the build folders"
	@echo "PRESET=debug|asan|tsan builds and tests another preset of CMakePresets.json"

# CUDA=1: fetch what GPUs need, too (launcher/setup/get_libtorch.sh); found by itself where there is one.
export CUDA

deps:
	@launcher/setup/install_deps.sh
	@launcher/setup/get_libtorch.sh >/dev/null

build: deps
	@cmake --preset $(PRESET) --log-level=WARNING -DTORCH_DIR=$$(launcher/setup/get_libtorch.sh --where)
	@cmake --build --preset $(PRESET) --target programs

all: deps
	@cmake --preset $(PRESET) --log-level=WARNING -DTORCH_DIR=$$(launcher/setup/get_libtorch.sh --where)
	@cmake --build --preset $(PRESET)

test: all
	@model=$$(launcher/setup/get_model.sh) && BERTH_MODEL=$$model ctest --preset $(PRESET) -j $(JOBS) -LE soak

soak: all
	@ctest --preset $(PRESET) -L soak

test-fast: all
	@ctest --preset $(PRESET) -j $(JOBS) -LE 'mpi|standin|slurm|reference|datasets|install|soak'

demo: deps
	@cmake --preset $(PRESET) --log-level=WARNING -DTORCH_DIR=$$(launcher/setup/get_libtorch.sh --where)
	@cmake --build --preset $(PRESET) --target berth demo_baseline
	@launcher/setup/demo.sh

test-fresh:
	@launcher/setup/install_deps.sh fresh
	@tests/support/test_fresh.sh

reference:
	@tests/support/reference_env.sh

# BENCH: more options of tests/bench/bench.py.
bench bench-quick: build
	@$$(tests/support/reference_env.sh) tests/bench/bench.py --build $(FOLDER) --model $$(launcher/setup/get_model.sh) $(if $(findstring quick,$@),--quick) $(BENCH)

install: build
	@cmake --install $(FOLDER) --prefix $(PREFIX)

package: build
	@launcher/setup/install_deps.sh package
	@cpack --config $(FOLDER)/CPackConfig.cmake -B $(FOLDER)/packages

format:
	@launcher/setup/install_deps.sh style
	@git ls-files '*.cc' '*.h' '*.cu' '*.cuh' '*.inl' | xargs clang-format -i

check-format:
	@launcher/setup/install_deps.sh style
	@git ls-files '*.cc' '*.h' '*.cu' '*.cuh' '*.inl' | xargs clang-format --dry-run -Werror

# Rooms with libtorch take half a minute a file: TIDY=. checks them, too.
TIDY ?= ^$(CURDIR)/(data|launcher|trainer/(checkpoint|metrics|report|comm/shared))/
ANALYZER = -*,clang-analyzer-core.*,clang-analyzer-cplusplus.*,clang-analyzer-unix.*
tidy analyze: deps
	@launcher/setup/install_deps.sh style
	@cmake --preset release -B build-tidy -DTORCH_DIR=$$(launcher/setup/get_libtorch.sh --where) -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON --log-level=WARNING
	@cmake --build build-tidy --target berth_events
	@run-clang-tidy -quiet $(if $(findstring analyze,$@),-checks='$(ANALYZER)') -p build-tidy -j $(JOBS) '$(TIDY)' >build-tidy/tidy.log 2>&1 || { grep -E 'error:' build-tidy/tidy.log | sort -u; tail -n 3 build-tidy/tidy.log; exit 1; }

# The row of each target: executions, seconds, cov and ft, as in tests/fuzz/README.md.
fuzz:
	@launcher/setup/install_deps.sh fuzz
	@cmake --preset fuzz --log-level=WARNING >/dev/null
	@cmake --build --preset fuzz
	@rm -f build-fuzz/found/*/row
	@BERTH_FUZZ_SECONDS=$(SECONDS) ctest --preset fuzz -j $(JOBS); status=$$?; cat build-fuzz/found/*/row; exit $$status

clean:
	@rm -rf build build-tidy build-debug build-asan build-tsan build-fuzz
