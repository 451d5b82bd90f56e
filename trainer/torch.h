// The parts of libtorch that trainer/ uses, as one precompiled header. No more: what headers leave to be instantiated, GCC instantiates
// again in each file that takes the precompiled header, used or not (custom_function.h: a second a file).
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
