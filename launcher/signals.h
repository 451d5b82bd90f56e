// Requests to stop, as signals: SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 set one flag, which long loops poll. A second SIGINT
// ends the process at once. A SIGHUP that was ignored at the start (nohup) stays ignored.
#pragma once

namespace berth::launch {

// As early as possible: until then these signals end the process. Needs no constructed object (main.cc calls it before those of
// the libraries).
void install_signal_handlers();
// For commands that do not poll: the signals end the process again; so does one that has come since.
void restore_signals();

// The first signal received, or 0. What ranks do about it they decide together (the control word of each step).
int stop_signal();
// Readable, for poll(), once a signal was received; -1 if there is none to be had.
int stop_signal_fd();

}  // namespace berth::launch
