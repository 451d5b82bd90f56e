#include "data/files/failpoint.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "data/check.h"

namespace berth::data {
namespace {

int error_of(std::string_view name) {
  if (name == "ENOSPC") return ENOSPC;
  if (name == "EDQUOT") return EDQUOT;
  if (name == "SHORT") return kShortWrite;
  check_usage(name == "EIO", "BERTH_FAILPOINT: ", name, " is none of ENOSPC, EIO, EDQUOT, SHORT, HOLD");
  return EIO;
}

void hold() {
  const char* file = std::getenv("BERTH_FAILPOINT_HOLD");
  check_usage(file != nullptr, "BERTH_FAILPOINT=…:HOLD needs BERTH_FAILPOINT_HOLD");
  while (!std::filesystem::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

bool is_output(std::string_view name) { return name == "write" || name == "sync" || name == "close" || name == "rename"; }

// BERTH_FAILPOINT.
struct Setting {
  std::string text, name, error;
  int visit = 1;
  bool always = false;
};

std::optional<Setting> current() {
  const char* value = std::getenv("BERTH_FAILPOINT");
  if (value == nullptr || *value == '\0') return std::nullopt;
  Setting setting;
  setting.text = setting.name = value;
  if (const size_t colon = setting.name.find(':'); colon != std::string::npos) {
    setting.error = setting.name.substr(colon + 1);
    setting.name.resize(colon);
  }
  setting.always = setting.name.ends_with('+');
  if (setting.always) setting.name.pop_back();
  if (const size_t at = setting.name.find('@'); at != std::string::npos) {
    setting.visit = std::atoi(setting.name.c_str() + at + 1);
    setting.name.resize(at);
  }
  return setting;
}

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
  const std::optional<Setting> setting = current();
  if (!setting || (setting->name != name && !(setting->name == "io" && is_output(name)))) return 0;
  const int now = count_visit(setting->text);
  if (setting->always ? now < setting->visit : now != setting->visit) return 0;
  if (setting->error.empty()) ::kill(::getpid(), SIGKILL);
  if (setting->error != "HOLD") return error_of(setting->error);
  hold();
  return 0;
}

bool failpoint_is_set(std::string_view name) {
  const std::optional<Setting> setting = current();
  return setting && setting->name == name;
}

void failpoint_or_throw(std::string_view name) {
  if (const int error = failpoint(name))
    fail(ExitCode::kInternal, "at ", name, ": ", std::strerror(error == kShortWrite ? ENOSPC : error));
}

}  // namespace berth::data
