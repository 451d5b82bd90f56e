// A folder, and verbs for the tests of data/files: what must fail, and a child process whose files do.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "data/files/files.h"
#include "tests/data/dataset_file.h"

namespace berth::data::testing {

namespace fs = std::filesystem;

class FilesTest : public ::testing::Test {
 protected:
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  // `action` throws Error(`code`) that begins with the path of `file` and says `what`.
  template <class Action>
  static void expect_error(Action action, ExitCode code, const fs::path& file, const std::string& what) {
    try {
      action();
      ADD_FAILURE() << "no error; expected: " << what;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_TRUE(std::string(error.what()).starts_with(file.string() + ": ")) << error.what();
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  }
  void expect_unreadable(const fs::path& file, const std::string& why, uint64_t max_bytes = 1000) {
    expect_error([&] { read_file(file, max_bytes); }, ExitCode::kBadInput, file, why);
  }

  // Runs `work` in a child process whose files fail at `failpoint`: what it returns.
  template <class Work>
  static int with_failpoint(const std::string& failpoint, Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::setenv("BERTH_FAILPOINT", failpoint.c_str(), 1);
      ::_exit(work());
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  TempDir folder_;
};

}  // namespace berth::data::testing
