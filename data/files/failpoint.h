// Places at which tests make a save fail. In normal use each costs one look at the environment.
//
//   BERTH_FAILPOINT=NAME[@N][:ERRNO]   at the N-th visit (1 by default) of the point NAME the process kills itself (SIGKILL),
//                                      or, with ERRNO (ENOSPC, EIO, EDQUOT), the operation fails with it
//
// Points of a file (files.h): write (before each piece), sync, close. Points of a checkpoint, in this order: after-model,
// after-optimizer, before-manifest, before-rename, after-rename. Of a run: step.
#pragma once

#include <string_view>

namespace berth::data {

// 0, or the errno that the operation shall fail with.
int failpoint(std::string_view name);
// For points between operations: fails like a file operation at that point.
void failpoint_or_throw(std::string_view name);

}  // namespace berth::data
