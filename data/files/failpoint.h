// Places at which tests make a file operation fail, or end or signal the process. In normal use each costs one look at the environment.
//
//   BERTH_FAILPOINT=NAME[@N[+]][:EFFECT]   at the N-th visit (1 by default; with +: and all later ones) of the point NAME the process
//                                          kills itself (SIGKILL), or what EFFECT says:
//     CUT                                  before it kills itself, what is not on disk is taken back (unsynced.h), as if the power was cut
//     TORN                                 half of what is to be written is written before it kills itself
//     ENOSPC, EIO, EDQUOT, EROFS           the operation fails with it
//     SHORT                                half is written, then ENOSPC; the same as ENOSPC where nothing is written
//     NAN, INF                             a number becomes this
//     TERM, INT, HUP, USR1, USR2, STOP     the process gets this signal, and goes on
//     SPIN                                 it computes for ever
//     SLOW                                 it sleeps for 200 ms
//     HOLD                                 it waits until there is a file of the name that BERTH_FAILPOINT_HOLD is
//
// Points of a file (files.h): read, write (before each piece), sync, close, rename; `io` counts all of them but read; record, before one of a
// log (record_file.h). Points of a checkpoint, in this order: copy, before what is saved is copied; after-model, after-optimizer, before-manifest, after-manifest, before-rename,
// after-rename; removal, of an old one, before and after it has lost its name. Of a run: start, before MPI; load, of weights; share, where a rank has been given memory that its host's ranks share; step, before
// which a checkpoint that is being written is waited for, so that a test knows what there is after the kill; forward, before that of a
// micro-batch; gradient, of its loss (a number); evaluation, before each batch of a rank; finish, before the best model is loaded, before the
// final one is written, and after it. Of other commands: prepare, where it looks for a stop, and predict, before each group of records.
#pragma once

#include <string_view>

namespace berth::data {

inline constexpr int kShortWrite = -1, kTornWrite = -2, kNotANumber = -3, kInfinite = -4;

// 0, or the errno that the operation shall fail with, or another of the above: kTornWrite of `write` alone, after whose half kill_self() is
// due, the last two of numbers.
int failpoint(std::string_view name);
// Whether the environment names this point, at whichever visit. No visit.
bool failpoint_is_set(std::string_view name);
// For points between operations: fails like a file operation at that point.
void failpoint_or_throw(std::string_view name);
// For points of numbers: `value`, or NaN or infinity in its place.
double failpoint_number(std::string_view name, double value);
[[noreturn]] void kill_self();
// Whether the environment names a point with the effect CUT.
bool cuts_power();

}  // namespace berth::data
