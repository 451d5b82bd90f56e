# Short names for the CMake presets and for the scripts of launcher/setup and tests/support.
PRESET ?= release
PREFIX ?= /usr/local

.PHONY: help deps build test demo test-fresh reference install format clean

help:
	@echo "make demo        fine-tune a pretrained BERT on the demo reviews, on 2 MPI ranks (installs and builds what is missing)"
	@echo "make test        build, and run all tests"
	@echo "make build       build/berth"
	@echo "make install     berth and its Slurm scripts, under PREFIX=$(PREFIX)"
	@echo "make test-fresh  'make test' and 'make demo' on a bare Debian in a temporary folder (as root)"
	@echo "make reference   a Python environment with transformers, for the tests labelled 'reference'"
	@echo "make format      clang-format over all sources"
	@echo "make clean       remove the build folders"
	@echo "PRESET=debug|asan|tidy builds and tests another preset of CMakePresets.json"

deps:
	@launcher/setup/install_deps.sh
	@launcher/setup/get_libtorch.sh >/dev/null

build: deps
	@cmake --preset $(PRESET) --log-level=WARNING
	@cmake --build --preset $(PRESET)

test: build
	@model=$$(launcher/setup/get_model.sh) && BERTH_MODEL=$$model ctest --preset $(PRESET)

demo: deps
	@cmake --preset $(PRESET) --log-level=WARNING
	@cmake --build --preset $(PRESET) --target berth demo_baseline
	@launcher/setup/demo.sh

test-fresh:
	@launcher/setup/install_deps.sh fresh
	@tests/support/test_fresh.sh

reference:
	@tests/support/reference_env.sh

install: build
	@cmake --install $(if $(filter release,$(PRESET)),build,build-$(PRESET)) --prefix $(PREFIX)

format:
	@launcher/setup/install_deps.sh style
	@git ls-files '*.cc' '*.h' '*.cu' | xargs clang-format -i

clean:
	@rm -rf build build-debug build-asan build-tidy
