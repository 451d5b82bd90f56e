#include "trainer/comm/peer_process.h"

#include <fstream>
#include <sstream>

#include "data/check.h"

namespace berth::comm {

PeerProcess find_process(pid_t process) {
  std::ifstream stat(concat("/proc/", process, "/stat"));
  std::string line;
  std::getline(stat, line);
  const size_t name_begin = line.find('('), name_end = line.rfind(") ");  // a name may hold brackets
  if (name_begin == std::string::npos || name_end == std::string::npos) return {};
  PeerProcess found{.name = line.substr(name_begin + 1, name_end - name_begin - 1)};
  std::istringstream rest(line.substr(name_end + 2));
  rest >> found.state >> found.parent;
  if (found.state == 'Z' || found.state == 'X') found.state = '\0';
  return found;
}

std::string trouble_of(pid_t process) {
  const PeerProcess found = find_process(process);
  if (found.state == '\0') return concat("has ended (process ", process, ")");
  if (found.is_stopped()) return concat("is stopped: kill -CONT ", process, " lets it go on");
  if (found.state == 'D') return concat("waits for a disk or a file server (process ", process, ")");
  return "";
}

}  // namespace berth::comm
