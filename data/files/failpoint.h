// Places at which tests make a file operation fail. In normal use each costs one look at the environment.
//
//   BERTH_FAILPOINT=NAME[@N[+]][:ERROR]   at the N-th visit (1 by default; with +: and all later ones) of the point NAME the process
//                                         kills itself (SIGKILL), or, with ERROR, the operation fails with it: ENOSPC, EIO, EDQUOT,
//                                         or SHORT (half is written, then ENOSPC; the same as ENOSPC where nothing is written).
//                                         With HOLD it waits until there is a file of the name that BERTH_FAILPOINT_HOLD is
//
// Points of a file (files.h): read, write (before each piece), sync, close, rename; `io` counts all of them but read. Points of a
// checkpoint, in this order: after-model, after-optimizer, before-manifest, before-rename, after-rename. Of a run: step, before which a checkpoint
// that is being written is waited for, so that a test knows what there is after the kill.
#pragma once

#include <string_view>

namespace berth::data {

inline constexpr int kShortWrite = -1;

// 0, or the errno that the operation shall fail with, or kShortWrite.
int failpoint(std::string_view name);
// Whether the environment names this point, at whichever visit. No visit.
bool failpoint_is_set(std::string_view name);
// For points between operations: fails like a file operation at that point.
void failpoint_or_throw(std::string_view name);

}  // namespace berth::data
