// Requests to stop, as signals: SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 set one flag, which long loops poll. A second SIGINT ends
// the process at once.
#pragma once

namespace berth::launch {

void install_signal_handlers();

// The first signal received, or 0. What ranks do about it they decide together (the control word of each step).
int stop_signal();

}  // namespace berth::launch
