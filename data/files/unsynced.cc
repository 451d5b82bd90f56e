#include "data/files/unsynced.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <list>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "data/files/failpoint.h"

namespace berth::data {
namespace {

namespace fs = std::filesystem;

using Inode = std::pair<dev_t, ino_t>;

struct OpenFile {
  int fd = -1;
  Inode inode;
  off_t on_disk = 0;  // bytes
};

struct NewName {
  Inode folder;
  fs::path name, old_name;              // no old name: it is new
  std::optional<std::string> replaced;  // the file that had the name
};

std::recursive_mutex mutex;
std::list<OpenFile> files;
std::list<NewName> names;

Inode inode_of(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? Inode{info.st_dev, info.st_ino} : Inode{};
}

fs::path parent_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// The same name in the same folder, whatever that is called by then.
fs::path lasting(const fs::path& path) {
  static std::map<Inode, int> folders;
  const auto [found, is_new] = folders.emplace(inode_of(parent_of(path)), -1);
  if (is_new) found->second = ::open(parent_of(path).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  return fs::path("/proc/self/fd") / std::to_string(found->second) / path.filename();
}

NewName new_name(const fs::path& name) { return {inode_of(parent_of(name)), lasting(name), {}, {}}; }

std::optional<std::string> bytes_of(const fs::path& file) {
  if (!fs::is_regular_file(file)) return std::nullopt;
  std::ostringstream bytes;
  bytes << std::ifstream(file, std::ios::binary).rdbuf();
  return bytes.str();
}

void take_back(const NewName& one) {
  std::error_code gone;  // of a folder that was removed since
  if (one.old_name.empty())
    fs::remove_all(one.name, gone);
  else
    fs::rename(one.name, one.old_name, gone);
  if (one.replaced) std::ofstream(one.name, std::ios::binary) << *one.replaced;
}

}  // namespace

std::unique_lock<std::recursive_mutex> lock_if_noted() {
  return cuts_power() ? std::unique_lock(mutex) : std::unique_lock<std::recursive_mutex>();
}

void note_open(const fs::path& file, bool is_new) {
  if (!cuts_power()) return;
  const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  files.push_back({.fd = fd, .inode = inode_of(file), .on_disk = is_new ? 0 : ::lseek(fd, 0, SEEK_END)});
  if (is_new) names.push_back(new_name(file));
}

void note_new_folder(const fs::path& folder) {
  if (cuts_power()) names.push_back(new_name(folder));
}

void note_file_sync(const fs::path& file) {
  if (!cuts_power()) return;
  for (OpenFile& one : files)
    if (one.inode == inode_of(file)) one.on_disk = ::lseek(one.fd, 0, SEEK_END);
}

void note_folder_sync(const fs::path& folder) {
  if (cuts_power()) std::erase_if(names, [synced = inode_of(folder)](const NewName& one) { return one.folder == synced; });
}

std::error_code rename_noted(const fs::path& from, const fs::path& to) {
  std::optional<std::string> replaced;
  if (cuts_power()) replaced = bytes_of(to);
  if (::rename(from.c_str(), to.c_str()) != 0) return {errno, std::generic_category()};
  if (!cuts_power()) return {};
  names.push_back(new_name(to));
  names.back().old_name = lasting(from);
  names.back().replaced = std::move(replaced);
  return {};
}

void lose_unsynced() {
  mutex.lock();
  for (const OpenFile& file : files)
    if (::ftruncate(file.fd, file.on_disk) != 0) std::perror("BERTH_FAILPOINT");
  for (; !names.empty(); names.pop_back()) take_back(names.back());
}

}  // namespace berth::data
