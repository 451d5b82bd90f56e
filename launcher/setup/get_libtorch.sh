#!/usr/bin/env bash
echo "${BERTH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/berth}/libtorch-2.15.0/torch"
