// A file that asks to stop, as a signal does (as SCR's halt file).
#pragma once

#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>

namespace berth::launch {

inline constexpr const char* kStopFile = "STOP";  // in a run's or a sweep's folder

class StopFile {
 public:
  explicit StopFile(std::filesystem::path path) : path_(std::move(path)) {}
  // Looks once a second at most.
  bool is_there() {
    constexpr auto kBetweenLooks = std::chrono::seconds(1);
    const auto now = std::chrono::steady_clock::now();
    if (!there_ && now - looked_ >= kBetweenLooks) {
      looked_ = now;
      std::error_code unreadable;
      there_ = std::filesystem::exists(path_, unreadable);
    }
    return there_;
  }

 private:
  std::filesystem::path path_;
  std::chrono::steady_clock::time_point looked_ = {};
  bool there_ = false;
};

}  // namespace berth::launch
