#include "data/files/failpoint.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include "data/check.h"

namespace berth::data {
namespace {

int errno_of(std::string_view name) {
  if (name == "ENOSPC") return ENOSPC;
  if (name == "EDQUOT") return EDQUOT;
  check_usage(name == "EIO", "BERTH_FAILPOINT: ", name, " is none of ENOSPC, EIO, EDQUOT");
  return EIO;
}

}  // namespace

int failpoint(std::string_view name) {
  static std::atomic<int> visits{0};  // of the one point that the environment names
  const char* value = std::getenv("BERTH_FAILPOINT");
  if (value == nullptr || *value == '\0') return 0;
  std::string_view wanted = value, error;
  if (const size_t colon = wanted.find(':'); colon != std::string_view::npos) {
    error = wanted.substr(colon + 1);
    wanted = wanted.substr(0, colon);
  }
  int visit = 1;
  if (const size_t at = wanted.find('@'); at != std::string_view::npos) {
    visit = std::atoi(std::string(wanted.substr(at + 1)).c_str());
    wanted = wanted.substr(0, at);
  }
  if (wanted != name || ++visits != visit) return 0;
  if (error.empty()) ::kill(::getpid(), SIGKILL);
  return errno_of(error);
}

void failpoint_or_throw(std::string_view name) {
  if (const int error = failpoint(name)) fail(ExitCode::kInternal, "at ", name, ": ", std::strerror(error));
}

}  // namespace berth::data
