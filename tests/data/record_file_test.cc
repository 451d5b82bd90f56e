#include "data/files/record_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/data/files_fixture.h"

namespace berth::data {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::FilesTest;
using testing::read_bytes;

TEST_F(FilesTest, AppendedFilesOnlyGrow) {
  const fs::path path = folder_ / "log";
  {
    AppendFile file(path);
    file.append("one\n");
    EXPECT_EQ(read_file(path), "one\n");  // nothing stays in the process
    file.append("");
    file.append("two\n");
  }
  AppendFile(path).append("three\n");
  EXPECT_EQ(read_file(path), "one\ntwo\nthree\n");
  expect_error([&] { AppendFile(folder_ / "no/log"); }, ExitCode::kInternal, folder_ / "no/log", "cannot be written");
}

TEST_F(FilesTest, OfAnAppendThatFailsNothingStays) {
  const fs::path path = folder_ / "log";
  EXPECT_EQ(with_failpoint("write@2:SHORT",
                           [&] {
                             AppendFile file(path);
                             file.append("one\n");
                             const std::string error = error_of([&] { file.append("a longer line\n"); });
                             if (error != path.string() + ": cannot be written: No space left on device") return 1;
                             if (read_bytes(path) != "one\n") return 2;
                             file.append("three\n");
                             return read_bytes(path) == "one\nthree\n" ? 0 : 3;
                           }),
            0);
}

// What a RecordFile tells while records are appended and files fail at `failpoint`: lines on the standard output of the test.
class RecordFileTest : public FilesTest {
 protected:
  void record(const std::string& failpoint, const std::vector<std::string>& records) {
    EXPECT_EQ(with_failpoint(failpoint,
                             [&] {
                               std::ofstream told(folder_ / "told");
                               RecordFile file(
                                   path_, [&] { return make(); }, [&](const std::string& what) { told << what << std::endl; });
                               for (const std::string& one : records) file.append(one);
                               return 0;
                             }),
              0);
  }
  fs::path make() const {
    write_durably(path_, "begun\n");
    return path_;
  }
  std::string told() const { return read_bytes(folder_ / "told"); }

  const fs::path path_ = folder_ / "log";
  const std::string trouble_ = path_.string() +
                               ": cannot be written: No space left on device; work goes on, and what is missing "
                               "there is written when that works again\n";
  const std::string again_ = path_.string() + ": written again, nothing is lost\n";
};

TEST_F(RecordFileTest, WhatCannotBeWrittenWaits) {
  record("write@3:SHORT", {"one\n", "two\n", "three\n"});
  EXPECT_EQ(told(), trouble_ + again_);
  EXPECT_EQ(read_bytes(path_), "begun\none\ntwo\nthree\n");
}

TEST_F(RecordFileTest, AFileThatCannotBeBegunIsBegunLater) {
  record("write@1:ENOSPC", {"one\n"});
  EXPECT_EQ(told(), trouble_ + again_);
  EXPECT_EQ(read_bytes(path_), "begun\none\n");
}

TEST_F(RecordFileTest, TheLastAttemptIsAtTheEnd) {
  record("write@3:ENOSPC", {"one\n", "two\n"});
  EXPECT_EQ(told(), trouble_ + again_);
  EXPECT_EQ(read_bytes(path_), "begun\none\ntwo\n");
}

TEST_F(RecordFileTest, WhatIsLostIsSaidOnceAtTheEnd) {
  record("write@3+:ENOSPC", {"one\n", "two\n", "three\n"});
  EXPECT_EQ(told(),
            trouble_ + path_.string() + " lacks 2 records: " + path_.string() + ": cannot be written: No space left on device\n");
  EXPECT_EQ(read_bytes(path_), "begun\none\n");
}

TEST_F(RecordFileTest, AtTheEndAllIsOnDisk) {
  record("sync@2:EDQUOT", {"one\n"});
  EXPECT_EQ(told(),
            path_.string() + " may lack records: " + path_.string() + ": cannot be written to disk: Disk quota exceeded\n");
}

TEST_F(RecordFileTest, AMegabyteWaitsAndWhatComesThenIsLost) {
  const std::string large(700'000, 'x');
  record("write@2:ENOSPC", {large + "1\n"});
  EXPECT_EQ(read_bytes(path_), "begun\n" + large + "1\n");

  EXPECT_EQ(with_failpoint("write@2+:ENOSPC",
                           [&] {
                             std::vector<std::string> told;
                             {
                               RecordFile file(
                                   path_, [&] { return make(); }, [&](const std::string& what) { told.push_back(what); });
                               file.append(large + "1\n");
                               file.append(large + "2\n");
                               file.append("3\n");
                               ::unsetenv("BERTH_FAILPOINT");
                               file.append("4\n");
                             }
                             if (told.size() != 2) return 1;
                             if (told[1] != path_.string() + ": written again, 1 record of that time lost") return 2;
                             return read_bytes(path_) == "begun\n" + large + "1\n3\n4\n" ? 0 : 3;
                           }),
            0);
}

}  // namespace
}  // namespace berth::data
