#include "data/files/failpoint.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "data/check.h"
#include "data/files/unsynced.h"

namespace berth::data {
namespace {

int hold() {
  const char* file = std::getenv("BERTH_FAILPOINT_HOLD");
  check_usage(file != nullptr, "BERTH_FAILPOINT=…:HOLD needs BERTH_FAILPOINT_HOLD");
  while (!std::filesystem::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return 0;
}

[[noreturn]] void spin() {
  for (volatile bool go_on = true; go_on;) continue;
  std::abort();
}

int be_slow() {
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  return 0;
}

// What failpoint() returns after `effect` at the point `name`, if it returns.
int take_effect(std::string_view effect, std::string_view name) {
  constexpr std::pair<std::string_view, int> kErrors[] = {{"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT},     {"EIO", EIO},
                                                          {"EROFS", EROFS},   {"SHORT", kShortWrite}, {"NAN", kNotANumber},
                                                          {"INF", kInfinite}};
  constexpr std::pair<std::string_view, int> kSignals[] = {{"TERM", SIGTERM}, {"INT", SIGINT},   {"HUP", SIGHUP},
                                                           {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"STOP", SIGSTOP}};
  if (effect == "TORN" && name == "write") return kTornWrite;
  if (effect == "CUT") lose_unsynced();
  if (effect.empty() || effect == "CUT" || effect == "TORN") kill_self();
  if (effect == "HOLD") return hold();
  if (effect == "SPIN") spin();
  if (effect == "SLOW") return be_slow();
  for (const auto& [text, error] : kErrors)
    if (effect == text) return error;
  for (const auto& [text, signal] : kSignals)
    if (effect == text) return ::raise(signal);
  fail(ExitCode::kUsage, "BERTH_FAILPOINT: ", effect, " is no effect (failpoint.h)");
}

bool is_output(std::string_view name) { return name == "write" || name == "sync" || name == "close" || name == "rename"; }

// BERTH_FAILPOINT.
struct Setting {
  std::string text, name, effect;
  int visit = 1;
  bool always = false;
};

std::optional<Setting> current() {
  const char* value = std::getenv("BERTH_FAILPOINT");
  if (value == nullptr || *value == '\0') return std::nullopt;
  Setting setting;
  setting.text = setting.name = value;
  if (const size_t colon = setting.name.find(':'); colon != std::string::npos) {
    setting.effect = setting.name.substr(colon + 1);
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
  return take_effect(setting->effect, name);
}

bool failpoint_is_set(std::string_view name) {
  const std::optional<Setting> setting = current();
  return setting && setting->name == name;
}

void failpoint_or_throw(std::string_view name) {
  if (const int error = failpoint(name))
    fail(ExitCode::kInternal, "at ", name, ": ", std::strerror(error == kShortWrite ? ENOSPC : error));
}

double failpoint_number(std::string_view name, double value) {
  const int effect = failpoint(name);
  if (effect == kNotANumber) return std::numeric_limits<double>::quiet_NaN();
  return effect == kInfinite ? std::numeric_limits<double>::infinity() : value;
}

bool cuts_power() {
  const std::optional<Setting> setting = current();
  return setting && setting->effect == "CUT";
}

void kill_self() {
  ::kill(::getpid(), SIGKILL);
  std::abort();
}

}  // namespace berth::data
