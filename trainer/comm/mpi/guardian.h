// MPI_Abort asks what has started the ranks to end them. Where that is stopped, or waits for a host that is cut off, nothing ends.
#pragma once

namespace berth::comm {

// Leaves a process behind that kills in so many seconds this one and, if Open MPI has started it, mpirun or its daemon on this host; it goes
// at once when these have gone by themselves.
void leave_guardian(int seconds);

}  // namespace berth::comm
