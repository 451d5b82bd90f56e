// Places at which tests make a save fail. In normal use each costs one look at the environment.
//
//   BERTH_FAILPOINT=NAME[@N][:ERRNO]   at the N-th visit (1 by default) of the point NAME the process kills itself (SIGKILL), or,
//   with
//                                      ERRNO (ENOSPC, EIO, EDQUOT), the operation fails with it
//
// Points, in the order of a save: write (before each piece of a file), after-model, after-optimizer, before-manifest,
// before-rename, after-rename.
#pragma once

#include <string_view>

namespace berth::train {

// 0, or the errno that the operation shall fail with.
int failpoint(std::string_view name);
// For points between operations: fails like a file operation at that point.
void failpoint_or_throw(std::string_view name);

}  // namespace berth::train
