#include "launcher/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace berth::launch {
namespace {

// A handler can reach nothing but globals.
std::atomic<int> first_signal{0};
std::atomic<int> interrupts{0};
static_assert(std::atomic<int>::is_always_lock_free);

void handle(int signal) {
  if (signal == SIGINT && interrupts.fetch_add(1) > 0) _exit(128 + SIGINT);
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaction(signal, &action, nullptr);
}

int stop_signal() { return first_signal.load(); }

}  // namespace berth::launch
