#include "data/files/failpoint.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "data/check.h"

namespace berth::data {
namespace {

int error_of(std::string_view name) {
  if (name == "ENOSPC") return ENOSPC;
  if (name == "EDQUOT") return EDQUOT;
  if (name == "SHORT") return kShortWrite;
  check_usage(name == "EIO", "BERTH_FAILPOINT: ", name, " is none of ENOSPC, EIO, EDQUOT, SHORT");
  return EIO;
}

bool is_output(std::string_view name) { return name == "write" || name == "sync" || name == "close" || name == "rename"; }

// Visits of the one point that the environment names.
int count_visit(const std::string& setting) {
  static std::mutex mutex;
  static std::string counted;
  static int visits = 0;
  const std::lock_guard lock(mutex);
  if (std::exchange(counted, setting) != setting) visits = 0;
  return ++visits;
}

}  // namespace

int failpoint(std::string_view name) {
  const char* value = std::getenv("BERTH_FAILPOINT");
  if (value == nullptr || *value == '\0') return 0;
  std::string_view wanted = value, error;
  if (const size_t colon = wanted.find(':'); colon != std::string_view::npos) {
    error = wanted.substr(colon + 1);
    wanted = wanted.substr(0, colon);
  }
  int visit = 1;
  const bool always = wanted.ends_with('+');
  if (always) wanted.remove_suffix(1);
  if (const size_t at = wanted.find('@'); at != std::string_view::npos) {
    visit = std::atoi(std::string(wanted.substr(at + 1)).c_str());
    wanted = wanted.substr(0, at);
  }
  if (wanted != name && !(wanted == "io" && is_output(name))) return 0;
  const int now = count_visit(value);
  if (always ? now < visit : now != visit) return 0;
  if (error.empty()) ::kill(::getpid(), SIGKILL);
  return error_of(error);
}

void failpoint_or_throw(std::string_view name) {
  if (const int error = failpoint(name))
    fail(ExitCode::kInternal, "at ", name, ": ", std::strerror(error == kShortWrite ? ENOSPC : error));
}

}  // namespace berth::data
