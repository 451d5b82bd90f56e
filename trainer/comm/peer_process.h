// What a process of this host is doing, as far as the system says.
#pragma once

#include <sys/types.h>

#include <string>

namespace berth::comm {

struct PeerProcess {
  char state = '\0';  // of proc(5): R, S, D (waits for a disk), T or t (stopped), …; '\0': there is none, or it has ended
  pid_t parent = 0;
  std::string name;  // of its program, at most 15 bytes

  bool is_stopped() const { return state == 'T' || state == 't'; }
};
PeerProcess find_process(pid_t process);

// What keeps it from going on: "is stopped: kill -CONT 17 lets it go on"; "" if nothing is known to.
std::string trouble_of(pid_t process);

}  // namespace berth::comm
