// What happens while berth prepare runs: threads, pipes, stops, full disks, kills. What it makes of its files: prepare_test.cc.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <map>
#include <thread>

#include "data/files/sha256.h"
#include "data/files/temporary.h"
#include "tests/data/prepare_fixture.h"

namespace berth::data {
namespace {

using namespace testing;

TEST_F(PrepareTest, TheFileIsTheSameForAnyNumberOfThreads) {
  auto with = options(many_rows(3000));
  with.validation_split = .2;
  with.test_file = write_bytes(folder_ / "test.csv", many_rows(700));
  std::string expected;
  for (int threads : {1, 2, 3, 8}) {
    with.threads = threads;
    prepare(with);
    const std::string bytes = read_bytes(with.output);
    if (threads == 1) expected = bytes;
    EXPECT_TRUE(bytes == expected) << threads << " threads";
  }
}

// The labels, the rows and the digest take a pass each; a pipe is read once. Another writer may have to come first.
TEST_F(PrepareTest, APipeIsReadOnce) {
  const std::string csv = many_rows(3000);
  PrepareOptions from_file = options(csv);
  from_file.validation_split = 0.2;
  prepare(from_file);
  const Batch expected = read("train"), validation = read("validation");

  PrepareOptions from_pipe = from_file;
  from_pipe.train_file = folder_ / "pipe.csv";
  ASSERT_EQ(::mkfifo(from_pipe.train_file.c_str(), 0600), 0);
  std::thread writer([&] { write_bytes(from_pipe.train_file, csv); });
  prepare(from_pipe);
  writer.join();
  EXPECT_EQ(read("train").input_ids, expected.input_ids);
  EXPECT_EQ(read("validation").input_ids, validation.input_ids);
  const auto sources = Dataset::open(folder_ / "data.h5")->info().source_sha256;
  EXPECT_EQ(sources, (std::map<std::string, std::string>{{from_pipe.train_file.string(), sha256_hex(csv)}}));

  const std::string error = error_of([&] {
    std::thread other([&] { write_bytes(from_pipe.train_file, "text,label\na\n"); });
    const std::unique_ptr<std::thread, void (*)(std::thread*)> joined(&other, [](std::thread* thread) { thread->join(); });
    prepare(from_pipe);
  });
  EXPECT_TRUE(error.starts_with(from_pipe.train_file.string())) << error;
  PrepareOptions from_device = from_file;
  from_device.train_file = "/dev/zero";
  EXPECT_EQ(error_of([&] { prepare(from_device); }), "/dev/zero: is neither a file nor a pipe");
}

TEST_F(PrepareTest, StopsOnRequestAndLeavesNothing) {
  auto with = options(many_rows(3000));
  std::atomic<bool> stop{false};
  const auto stop_in = [&](const std::string& stage) {
    stop = false;
    return error_of([&] {
      prepare(
          with, [&](const PrepareProgress& at) { stop = stop || at.stage == stage; }, [&] { return stop.load(); });
    });
  };
  for (const char* stage : {"reading labels", "train"}) {
    EXPECT_NE(stop_in(stage).find("stopped on request"), std::string::npos) << stage;
    EXPECT_EQ(files(), (std::set<std::string>{"train.csv", "vocab.txt"}));
  }
}

TEST_F(PrepareTest, ProgressReachesTheEndOfEachFile) {
  auto with = options(many_rows(2000));
  std::map<std::string, PrepareProgress> last;
  prepare(with, [&](const PrepareProgress& at) {
    EXPECT_GE(at.bytes_done, last[at.stage].bytes_done);
    last[at.stage] = at;
  });
  EXPECT_EQ(last.at("train").bytes_done, last.at("train").bytes_total);
  EXPECT_EQ(last.at("train").rows, 2000);
  EXPECT_EQ(last.count("reading labels"), 1u);
}

// A disk that is full at any point: a child process may write only so many bytes to a file.
TEST_F(PrepareTest, AFullDiskLeavesNoHalfFile) {
  auto with = options(many_rows(20000));
  prepare(with);
  const auto whole = std::filesystem::file_size(with.output);
  std::filesystem::remove(with.output);
  for (uint64_t room : {uint64_t{0}, uint64_t{100}, whole / 4, whole / 2, whole - 1}) {
    const pid_t child = ::fork();
    if (child == 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{room, room};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      const std::string error = error_of([&] { prepare(with); });
      std::exit(error.find(with.output.string() + ": cannot") != std::string::npos ? 3 : 4);  // runs HDF5's clean-up, too
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 3) << "room for " << room << " bytes: status " << status;
    EXPECT_EQ(files(), (std::set<std::string>{"train.csv", "vocab.txt"})) << room;
  }
}

TEST_F(PrepareTest, WhatAKilledOneLeftIsRemovedByTheNext) {
  const PrepareOptions o = options("text,label\nbo,a\nat,b\n");
  std::filesystem::create_directory(concat(o.output.string(), kTempMark, ::getpid()));  // in the way, and nobody's file
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("BERTH_FAILPOINT", "sync", 1);
    prepare(o);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  std::set<std::string> expected = files();
  ASSERT_EQ(expected.erase(concat("data.h5", kTempMark, child)), 1u);
  prepare(o);
  expected.insert("data.h5");
  EXPECT_EQ(files(), expected);
}

}  // namespace
}  // namespace berth::data
