// Files made to do harm, one for each thing that a reader could believe: each ends with the exit code of bad input and one line that
// names the file, within bounds of memory and time. Prints the table that README.md beside this has.
#include "tests/mpi/hostile_files.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

// What a process used, with all that it waited for.
struct Used {
  int exit_code = 0;
  double peak_mb = 0, cpu_seconds = 0;
  std::string printed;  // on both streams
};

// A command that hangs is killed after a minute: exit code 124.
Used measure(const std::string& arguments, const fs::path& printed) {
  const std::string line =
      "exec timeout -k 1 60 " + berth_program() + " " + arguments + " >" + printed.string() + " 2>&1 </dev/null";
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  rusage used{};
  EXPECT_GT(child, 0) << "no process could be made";
  EXPECT_EQ(::wait4(child, &status, 0, &used), child);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          .peak_mb = static_cast<double>(used.ru_maxrss) / 1024,
          .cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime),
          .printed = read_bytes(printed)};
}

class HostileFiles : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    for (const auto& [name, value] :
         {std::pair{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}, {"OMP_NUM_THREADS", "1"}})
      ::setenv(name, value, 1);
    ASSERT_EQ(train("run", "--max-steps 1 --save-steps 1").exit_code, 0);
    fs::copy(at("model"), at("sentences"));
    write_bytes(at("sentences/modules.json"), R"([{"path": "", "type": "sentence_transformers.models.Transformer"},
                                                  {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])");
    write_bytes(at("sentences/1_Pooling/config.json"), R"({"pooling_mode": "mean"})");
    write_bytes(at("words.conll"), "ban B-X\nbas O\n\nbat O\n");
    ASSERT_EQ(run_berth("prepare --task ner --max-length 32 --train-file " + at("words.conll") + " --tokenizer " + at("model") +
                        " --output " + at("ner.h5"))
                  .exit_code,
              0);
    ASSERT_EQ(run_berth("train --model " + at("model") + " --data " + at("ner.h5") + " --output-dir " + at("ner") +
                        " --max-steps 1 --ignore-mismatched-sizes")
                  .exit_code,
              0);
  }
};

TEST_F(HostileFiles, EndAsBadInputWithinBounds) {
  std::string table = "| reader | file | MB | exit | peak MB | CPU s |\n|---|---|---|---|---|---|\n";
  for (const HostileFile& hostile : hostile_files()) {
    const fs::path folder = at("case");
    fs::create_directories(folder);
    const HostileCommand command = hostile.make(Places{.base = at(""), .folder = folder});
    const double megabytes = fs::is_regular_file(command.file) ? static_cast<double>(fs::file_size(command.file)) / 1e6 : 0;
    const Used used = measure(command.arguments, at("printed"));
    const std::string what = std::string(hostile.reader) + ": " + hostile.what + "\n" + used.printed.substr(0, 2000);
    EXPECT_EQ(used.exit_code, hostile.exit_code) << what;
    const bool named = used.printed.find(command.file.filename().string()) != std::string::npos;
    EXPECT_TRUE(named || hostile.exit_code == 0) << what;
    EXPECT_LE(used.peak_mb, hostile.peak_mb) << what;
    EXPECT_LE(used.cpu_seconds, hostile.cpu_seconds) << what;
    EXPECT_EQ(used.printed.find('\x1b'), std::string::npos) << what;
    EXPECT_LT(used.printed.size(), 20'000u) << what;
    char row[256];
    std::snprintf(row, sizeof(row), "| %s | %s | %.1f | %d | %.0f | %.1f |\n", hostile.reader, hostile.what, megabytes,
                  used.exit_code, used.peak_mb, used.cpu_seconds);
    table += row;
    fs::remove_all(folder);
  }
  std::printf("%s", table.c_str());
}

}  // namespace
}  // namespace berth::test
