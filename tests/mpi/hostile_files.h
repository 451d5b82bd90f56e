// The files of hostile_files_test.cc.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace berth::test {

struct Places {
  std::filesystem::path base;    // model/, data.h5, run/ (a finished run of one step), ner/ (the same of another task),
                                 // sentences/ (a model with sentence-transformers' modules.json)
  std::filesystem::path folder;  // empty, for the file
};

struct HostileCommand {
  std::filesystem::path file;  // the hostile one; the command names it
  std::string arguments;       // of berth
};

struct HostileFile {
  const char* reader;
  const char* what;
  std::function<HostileCommand(const Places&)> make;
  int exit_code = 3;
  // Ceilings. A process with libtorch takes 130 MB and 0.3 s to start and to find nothing wrong.
  double peak_mb = 300;
  double cpu_seconds = 2;
};

std::vector<HostileFile> hostile_files();

}  // namespace berth::test
