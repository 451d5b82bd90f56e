#include "data/files/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "data/files/failpoint.h"
#include "data/files/spool.h"
#include "tests/data/files_fixture.h"

namespace berth::data {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::FilesTest;
using testing::read_bytes;
using testing::write_bytes;

TEST_F(FilesTest, AFileIsReadWholeUpToTheLimit) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{3 << 20}}) {
    std::string bytes(size, 'x');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 % 256);
    write_bytes(folder_ / "a", bytes);
    EXPECT_EQ(read_file(folder_ / "a"), bytes);
    EXPECT_EQ(read_file(folder_ / "a", size), bytes);
    if (size > 0) expect_unreadable(folder_ / "a", concat("has ", size, " bytes, more than the ", size - 1), size - 1);
  }
}

TEST_F(FilesTest, OnlyRegularFilesAreRead) {
  expect_unreadable(folder_ / "absent", "cannot be read: No such file or directory");
  expect_unreadable(folder_.path(), "is not a regular file");
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  expect_unreadable(folder_ / "fifo", "is not a regular file");  // and is not waited for
  expect_unreadable("/dev/zero", "is not a regular file");
}

TEST_F(FilesTest, FilesThatKeepTheirSizeSecretAreReadToTheirEnd) {
  EXPECT_FALSE(read_file("/proc/self/stat").empty());
  EXPECT_GT(read_file("/proc/self/smaps").size(), 4096u);  // more than is read at first
  expect_unreadable("/proc/self/stat", "grew to more than 3 bytes", 3);
}

TEST_F(FilesTest, ReadingSaysWhenTheFileWasWritten) {
  const timespec times[2] = {{1000, 5000}, {2000, 6000}};
  write_bytes(folder_ / "a", "x");
  ASSERT_EQ(::utimensat(AT_FDCWD, (folder_ / "a").c_str(), times, 0), 0);
  timespec modified{};
  read_file(folder_ / "a", 1, &modified);
  EXPECT_EQ(modified.tv_sec, 2000);
}

TEST_F(FilesTest, DigestsAreThoseOfTheBytes) {
  const std::string bytes((3 << 20) + 17, 'x');
  const FileDigest written = write_durably(folder_ / "a", bytes);
  EXPECT_EQ(written.name, "a");
  EXPECT_EQ(written.size, bytes.size());
  EXPECT_EQ(written.sha256, sha256_hex(bytes));
  EXPECT_EQ(sha256_file(folder_ / "a"), sha256_hex(bytes));
  expect_error([&] { sha256_file(folder_ / "absent"); }, ExitCode::kBadInput, folder_ / "absent", "No such file");
  expect_error([&] { sha256_file(folder_.path()); }, ExitCode::kBadInput, folder_.path(), "is not a regular file");
  expect_error([&] { sha256_file("/dev/null"); }, ExitCode::kBadInput, "/dev/null", "is not a regular file");
}

TEST_F(FilesTest, ASpoolIsWhatCameThroughAPipe) {
  const std::string bytes(3'000'000, 'x');
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  std::thread writer([&] { write_bytes(folder_ / "pipe", bytes); });
  const Spool spool(folder_ / "pipe");
  writer.join();
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(read_file(spool.path()) == bytes);

  // As a shell gives it, `<(command)`: here of a command that has ended before anyone reads.
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "abc", 3), 3);
  ::close(ends[1]);
  EXPECT_EQ(read_file(Spool(concat("/dev/fd/", ends[0])).path()), "abc");
  EXPECT_EQ(read_file(Spool(concat("/dev/fd/", ends[0])).path()), "");
  ::close(ends[0]);
}

TEST_F(FilesTest, WaitingForAPipesWriterCanBeGivenUp) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  const auto stop = [](uint64_t bytes) { fail(ExitCode::kInternal, "stopped at byte ", bytes); };
  EXPECT_EQ(error_of([&] { const Spool spool(folder_ / "pipe", stop); }), "stopped at byte 0");
}

TEST_F(FilesTest, TheNameIsGivenAtTheEnd) {
  write_bytes(folder_ / "a", "old");
  DurableFile file(folder_ / "a");
  EXPECT_EQ(file.temporary(), folder_ / concat("a", kTempMark, ::getpid()));
  file.write("ne");
  file.write("w");
  EXPECT_EQ(read_bytes(folder_ / "a"), "old");
  file.commit();
  EXPECT_EQ(read_bytes(folder_ / "a"), "new");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
  sync_folder(folder_.path());
}

TEST_F(FilesTest, WhatIsNotCommittedIsRemoved) {
  write_bytes(folder_ / "a", "old");
  DurableFile(folder_ / "a").write("new");
  DurableFile(folder_ / "b").write("new");
  EXPECT_EQ(read_bytes(folder_ / "a"), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

TEST_F(FilesTest, AnotherProgramMayWriteTheTemporaryFile) {
  DurableFile file(folder_ / "a");
  write_bytes(file.temporary(), "by name");
  file.commit();
  EXPECT_EQ(read_bytes(folder_ / "a"), "by name");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

class WriteFailure : public FilesTest, public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(WriteFailure, LeavesTheOldFileAndNothingElse) {
  write_bytes(folder_ / "a", "old");
  const auto [point, reason] = GetParam();
  // 0, or which expectation is broken.
  EXPECT_EQ(with_failpoint(point,
                           [&, reason = std::string(reason)] {
                             const std::string error = error_of([&] { write_durably(folder_ / "a", "new"); });
                             if (!error.starts_with((folder_ / "a").string() + ": cannot be ")) return 1;
                             if (error.find(reason) == std::string::npos) return 2;
                             if (read_bytes(folder_ / "a") != "old") return 3;
                             if (names() != std::vector<std::string>{"a"}) return 4;
                             write_durably(folder_ / "a", "new");
                             return read_bytes(folder_ / "a") == "new" ? 0 : 5;
                           }),
            0);
}

// A file is renamed only after it was synced and closed without an error.
INSTANTIATE_TEST_SUITE_P(Failpoints, WriteFailure,
                         ::testing::Values(std::pair("write:ENOSPC", "written: No space left on device"),
                                           std::pair("write:EIO", "written: Input/output error"),
                                           std::pair("sync:EIO", "written to disk: Input/output error"),
                                           std::pair("sync:ENOSPC", "written to disk: No space left on device"),
                                           std::pair("close:EDQUOT", "closed: Disk quota exceeded")));

TEST_F(FilesTest, AFailedRenameLeavesNothing) {
  {
    DurableFile file(folder_ / "a");
    fs::create_directory(folder_ / "a");
    expect_error([&] { file.commit(); }, ExitCode::kInternal, folder_ / "a", "cannot be renamed");
  }
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

TEST_F(FilesTest, WhatCannotBeBegunIsNotTouched) {
  expect_error([&] { DurableFile(folder_ / "no/a"); }, ExitCode::kInternal, folder_ / "no/a",
               "cannot be written: No such file or directory");
  expect_error([&] { DurableFile(folder_ / "no/a", ExitCode::kBadInput); }, ExitCode::kBadInput, folder_ / "no/a", "written");
}

class TemporaryNames : public FilesTest {
 protected:
  // Of this process; in another container all may have its number.
  fs::path mine(const std::string& further = "") const { return folder_ / concat("a", kTempMark, ::getpid(), further); }
};

TEST_F(TemporaryNames, WhatKilledProcessesLeftIsRemovedByTheNextWriter) {
  for (const fs::path& left : {mine(), mine("-2"), folder_ / concat("a", kTempMark, 1)}) write_bytes(left, "half");
  EXPECT_EQ(with_failpoint("sync", [&] { return write_durably(folder_ / "a", "killed").size; }), -1);
  EXPECT_EQ(names().size(), 1u) << "what the killed one began";
  write_bytes(folder_ / concat("b", kTempMark, 1), "another file's");
  write_durably(folder_ / "a", "new");
  EXPECT_EQ(names(), (std::vector<std::string>{"a", concat("b", kTempMark, 1)}));
  EXPECT_EQ(read_bytes(folder_ / "a"), "new");
}

TEST_F(TemporaryNames, WhatIsInTheWayAndNotOursStays) {
  fs::create_directory(mine());
  fs::create_symlink("/dev/null", mine("-2"));
  {
    DurableFile file(folder_ / "a");
    EXPECT_EQ(file.temporary(), mine("-3"));
  }
  EXPECT_EQ(names(), (std::vector<std::string>{mine().filename(), mine("-2").filename()}));
}

TEST_F(TemporaryNames, SeveralMayWriteOneFile) {
  auto first = std::make_unique<DurableFile>(folder_ / "a");
  DurableFile second(folder_ / "a");
  EXPECT_EQ(second.temporary(), mine("-2"));
  first->write("first");
  second.write("second");
  first.reset();
  second.commit();
  EXPECT_EQ(read_bytes(folder_ / "a"), "second");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

TEST_F(TemporaryNames, OnlyItsOwnFileIsRemoved) {
  {
    const DurableFile file(folder_ / "a");
    fs::remove(mine());
    write_bytes(mine(), "another's");
  }
  EXPECT_EQ(read_bytes(mine()), "another's");
}

// Of many that write one file and of whom each takes the others' files for waste where it can, all succeed.
TEST_F(TemporaryNames, ManyWriteOneFileAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    for (int round = 0; round < 50; ++round) write_durably(folder_ / "a", concat("whole ", i));
    ::_exit(0);
  }
  for (const pid_t child : children) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_TRUE(read_bytes(folder_ / "a").starts_with("whole "));
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

TEST_F(FilesTest, OnlyRegularFilesAreReplaced) {
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  fs::create_symlink("/dev/null", folder_ / "null");
  for (const fs::path& path : {folder_ / "fifo", folder_ / "null", folder_.path()})
    expect_error([&] { DurableFile{path}; }, ExitCode::kInternal, path, "is not replaced");
  EXPECT_EQ(names(), (std::vector<std::string>{"fifo", "null"}));
}

class PowerCut : public FilesTest {
 protected:
  // Does `work`, and then the power is cut.
  template <class Work>
  static void cut_after(Work work) {
    EXPECT_EQ(with_failpoint("now:CUT",
                             [&] {
                               work();
                               return failpoint("now");
                             }),
              -1);
  }
};

TEST_F(PowerCut, AFileOfADurableNameIsThereOnceItsFolderIsSynced) {
  write_bytes(folder_ / "a", "old");
  cut_after([&] {
    write_durably(folder_ / "a", "new");
    write_durably(folder_ / "b", "new");
  });
  EXPECT_EQ(read_bytes(folder_ / "a"), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
  cut_after([&] {
    write_durably(folder_ / "a", "new");
    sync_folder(folder_.path());
    DurableFile(folder_ / "b").write("unfinished");
  });
  EXPECT_EQ(read_bytes(folder_ / "a"), "new");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

// As a mistake that must be seen: the name is on disk, and what it names is not.
TEST_F(PowerCut, BytesThatAreNotSyncedAreGone) {
  cut_after([&] {
    TemporaryFile file(folder_ / "a");
    ASSERT_EQ(::write(file.fd(), "new", 3), 3);
    rename_path(file.path(), folder_ / "a");
    sync_folder(folder_.path());
  });
  EXPECT_EQ(read_bytes(folder_ / "a"), "");
}

TEST_F(PowerCut, WhatIsAppendedIsThereUpToTheLastSync) {
  cut_after([&] {
    AppendFile file(folder_ / "a");
    file.append("1");
    file.sync();
    file.append("2");
    AppendFile(folder_ / "b").append("1");
  });
  EXPECT_EQ(read_bytes(folder_ / "a"), "1");
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
  cut_after([&] { AppendFile(folder_ / "a").append("2"); });
  EXPECT_EQ(read_bytes(folder_ / "a"), "1");
}

TEST_F(PowerCut, FoldersThatAreMadeStay) {
  cut_after([&] {
    make_folders(folder_ / "new/run");
    rename_path(folder_ / "new/run", folder_ / "new/other");
    fs::create_directory(make_temporary_folder(folder_ / "new/third") / "in");
  });
  EXPECT_EQ(names(), std::vector<std::string>{"new"});
  EXPECT_TRUE(fs::exists(folder_ / "new/run"));
  EXPECT_FALSE(fs::exists(folder_ / "new/other"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "new"), fs::directory_iterator()), 1);
}

TEST_F(FilesTest, FoldersAreMadeWithThoseAboveThem) {
  make_folders(folder_ / "a/b/c/");
  make_folders(folder_ / "a/b");
  EXPECT_TRUE(fs::is_directory(folder_ / "a/b/c"));
  write_bytes(folder_ / "file", "x");
  expect_error([&] { make_folders(folder_ / "file/b", ExitCode::kBadInput); }, ExitCode::kBadInput, folder_ / "file/b",
               "cannot be made");
}

TEST_F(FilesTest, AFolderThatIsNotThereCannotBeSynced) {
  expect_error([&] { sync_folder(folder_ / "no"); }, ExitCode::kInternal, folder_ / "no", "cannot be synced");
  sync_folder("");
}

}  // namespace
}  // namespace berth::data
